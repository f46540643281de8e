import type { EngineConfig } from '#shared/contracts/cluster/nodes.ts'
import { type Engine, type EngineDriver, type EngineSite, healthBy } from '../engine.ts'
import type { Forward } from '../host/host.ts'
import { type HostConnection, hostConnection } from './connection/host-connection.ts'
import { cpuBaseline, hostCpu } from './client/cpu.ts'
import { versions } from './client/host-facts.ts'

type Config = NonNullable<EngineConfig['libvirt']>
export type LibvirtEngine = Engine & { client: HostConnection }

const usualUri = 'qemu:///system'
/** libvirtd's socket, and that of the modular daemon for QEMU. */
const usualSockets = ['/run/libvirt/libvirt-sock', '/run/libvirt/virtqemud-sock']

type WithEngine = { engine: (kind: 'libvirt') => LibvirtEngine }

export const libvirtEngineOf = ({ engine }: WithEngine): LibvirtEngine => engine('libvirt')
/** The connection to the libvirt of a node. */
export const libvirtOf = (reached: WithEngine): HostConnection => libvirtEngineOf(reached).client

export const libvirt: EngineDriver<Config, LibvirtEngine> = {
  connect: (site) => {
    const url = new URL(site.config?.uri ?? usualUri)
    const { resolveUri, closeForward } = site.isLocal
      ? { resolveUri: async () => url.href, closeForward: async () => undefined }
      : forwarded(site, url)
    const client = hostConnection({ host: site.name, resolveUri })
    const facts = async () => {
      const { libvirt: version, hypervisor: qemu } = await versions(client)
      return { version, components: { qemu } }
    }
    return {
      client,
      facts,
      health: () => healthBy(facts, () => whyAbsent(site, url)),
      events: (listener) =>
        client.subscribe(['lifecycle', 'device_removed'], (news) => {
          if (news.kind === 'lifecycle') listener({ kind: 'object', id: news.uuid, change: news.event })
          if (news.kind === 'device_removed') listener({ kind: 'object', id: news.uuid, change: news.kind })
          if (news.kind === 'connected' || news.kind === 'disconnected') listener(news)
        }),
      isConnected: () => client.isConnected(),
      cpus: {
        hostCpu: (query) => hostCpu(client, query),
        baseline: (query, descriptions) => cpuBaseline(client, query, descriptions),
      },
      close: async () => {
        await client.close()
        await closeForward()
      },
    }
  },
}

const socketIn = (url: URL) => url.searchParams.get('socket')

/** Forwards the socket of a host behind SSH to one of this machine: one connection, one pinned key for everything. */
function forwarded({ host }: EngineSite<Config>, url: URL) {
  let forward: Forward | undefined
  return {
    resolveUri: async () => {
      await forward?.close()
      forward = await host.forwardSocket({ path: socketIn(url) ?? usualSockets[0]! })
      return `qemu+unix://${url.pathname}?socket=${encodeURIComponent(forward.path)}`
    },
    closeForward: async () => forward?.close(),
  }
}

/** A session's socket is in a folder of its user: nothing is known of it. */
async function whyAbsent({ host }: EngineSite<Config>, url: URL): Promise<string | null> {
  const named = socketIn(url)
  if (named === null && url.pathname === '/session') return null
  const sockets = named === null ? usualSockets : [named]
  for (const path of sockets) if ((await host.stat(path)) !== null) return null
  return `libvirt is not there: no socket at ${sockets.join(' or ')}`
}
