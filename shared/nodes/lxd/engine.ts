import type { EngineConfig } from '#shared/contracts/cluster/nodes.ts'
import { UnavailableError } from '#shared/errors.ts'
import { type Engine, type EngineDriver, healthBy } from '../engine.ts'
import { type Api, apiOver } from './client.ts'
import { eventsOf } from './events.ts'
import { socketPool } from './socket-pool.ts'

/** Engines that speak this API; Incus is a fork of LXD. */
export type LxdKind = 'lxd' | 'incus'
type Config = NonNullable<EngineConfig[LxdKind]>

export type LxdEngine = Engine & {
  /** The engine's REST API. @throws UnavailableError when the node does not have the engine */
  api: () => Promise<Api>
}

/** Names for messages, and where the sockets are: of Debian's packages, then of LXD's snap. */
const known: Record<LxdKind, { label: string; sockets: readonly string[] }> = {
  lxd: { label: 'LXD', sockets: ['/var/lib/lxd/unix.socket', '/var/snap/lxd/common/lxd/unix.socket'] },
  incus: { label: 'Incus', sockets: ['/var/lib/incus/unix.socket', '/run/incus/unix.socket'] },
}

/** An LXD or Incus of a node. */
export const lxdOf = <K extends LxdKind>({ engine }: { engine: (kind: K) => LxdEngine }, kind: K): LxdEngine =>
  engine(kind)

/** The driver of LXD or of Incus, over the Unix socket of its REST API. */
export const lxd = (kind: LxdKind): EngineDriver<Config, LxdEngine> => ({
  connect: ({ node, host, config }) => {
    const { label, sockets } = known[kind]
    const name = `${label} on node '${node}'`
    const paths = config ? [config.socket] : sockets
    /** null when there is none. */
    const findSocket = async (): Promise<string | null> => {
      for (const path of paths) if ((await host.stat(path))?.kind === 'socket') return path
      return null
    }
    const pool = socketPool(host)
    const api = async () => {
      const path = await findSocket()
      if (path === null)
        throw new UnavailableError(`${name} is not there: no socket was found`, { retryAfterSeconds: 30 })
      return apiOver(name, await pool.open(path))
    }
    const events = eventsOf({ api, isPresent: async () => (await findSocket()) !== null })
    const facts = async () => {
      const { environment } = await (await api()).get<{ environment: { server_version: string } }>('/1.0')
      return { version: environment.server_version, components: {} }
    }
    const whyAbsent = async () =>
      (await findSocket()) === null ? `${label} is not there: no socket at ${paths.join(' or ')}` : null
    return {
      api,
      facts,
      health: () => healthBy(facts, whyAbsent),
      events: events.subscribe,
      isConnected: events.isConnected,
      close: async () => {
        events.close()
        await pool.close()
      },
    }
  },
})
