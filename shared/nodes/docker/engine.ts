import type { EngineConfig } from '#shared/contracts/cluster/nodes.ts'
import { UnavailableError } from '#shared/errors.ts'
import { type Engine, type EngineDriver, healthBy } from '../engine.ts'
import type { Forward } from '../host/host.ts'
import { type DockerApi, dockerApi } from './client.ts'
import { eventsOf } from './events.ts'

/** Engines that speak this API. */
export type DockerKind = 'docker' | 'podman'
type Config = NonNullable<EngineConfig[DockerKind]>

export type DockerEngine = Engine & {
  /** The engine's API. @throws UnavailableError when the node does not have the engine */
  api: () => Promise<DockerApi>
  /** The path of its socket on the node. @throws UnavailableError when the node does not have the engine */
  socket: () => Promise<string>
}

/** Names for messages, and the usual places of the sockets. */
const known: Record<DockerKind, { label: string; sockets: readonly string[] }> = {
  docker: { label: 'Docker', sockets: ['/run/docker.sock', '/var/run/docker.sock'] },
  podman: { label: 'Podman', sockets: ['/run/podman/podman.sock'] },
}

export const dockerOf = <K extends DockerKind>({ engine }: { engine: (kind: K) => DockerEngine }, kind: K) =>
  engine(kind)

/** The driver of Docker or of Podman, over the Unix socket of its API. */
export const docker = (kind: DockerKind): EngineDriver<Config, DockerEngine> => ({
  connect: ({ node, host, isLocal, config }) => {
    const { label, sockets } = known[kind]
    const name = `${label} on node '${node}'`
    const paths = config ? [config.socket] : sockets
    /** null when there is none. */
    const findSocket = async (): Promise<string | null> => {
      for (const path of paths) if ((await host.stat(path))?.kind === 'socket') return path
      return null
    }
    let forwarded: { path: string; made: Promise<Forward> } | undefined
    const closeForward = async () => {
      const there = forwarded
      forwarded = undefined
      await (await there?.made.catch(() => undefined))?.close()
    }
    const localPathOf = async (path: string): Promise<string> => {
      if (isLocal) return path
      if (forwarded?.path !== path) {
        void closeForward()
        const made = host.forwardSocket({ path })
        forwarded = { path, made }
        made.catch(() => (forwarded = undefined))
      }
      return (await forwarded.made).path
    }
    const socket = async () => {
      const path = await findSocket()
      if (path !== null) return path
      throw new UnavailableError(`${name} is not there: no socket was found`, { retryAfterSeconds: 30 })
    }
    const api = async () => {
      const path = await socket()
      return dockerApi(name, host, path, await localPathOf(path))
    }
    const events = eventsOf({ api, isPresent: async () => (await findSocket()) !== null })
    const facts = async () => {
      const { Version: version } = await (await api()).ask((docker) => docker.version())
      return { version, components: {} }
    }
    const whyAbsent = async () =>
      (await findSocket()) === null ? `${label} is not there: no socket at ${paths.join(' or ')}` : null
    return {
      api,
      socket,
      facts,
      health: () => healthBy(facts, whyAbsent),
      events: events.subscribe,
      isConnected: events.isConnected,
      close: async () => {
        events.close()
        await closeForward()
      },
    }
  },
})
