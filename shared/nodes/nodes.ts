import { call } from '#shared/bus/call.ts'
import { current } from '#shared/runtime/request-context.ts'
import { nodes, type Reach } from '#shared/contracts/cluster/nodes.ts'
import { type Forward, type Host } from '#shared/nodes/host/host.ts'
import { closeHost, hostFor } from '#shared/nodes/host/hosts.ts'
import { type HostConnection, hostConnection } from '#shared/nodes/libvirt/host-connection.ts'
import { unseal } from '#shared/config/secrets.ts'

export type Reached = { node: Reach; host: Host; libvirt: HostConnection }

// How a node is reached changes rarely; a change is noticed within this time.
const freshMs = 2000
const known = new Map<string, { at: number; node: Promise<Reach> }>()

/** @throws NotFoundError for a node that is not registered */
async function reachOf(id: string): Promise<Reach> {
  const entry = known.get(id)
  if (entry && Date.now() - entry.at < freshMs) return entry.node
  const node = call(nodes, 'reach', { id }, { isQuestion: true })
  known.set(id, { at: Date.now(), node })
  node.catch(() => known.delete(id))
  return node
}

/** A node's host and its libvirt, each one connection for the whole process. Opens nothing until it is used. */
export async function reach(id: string): Promise<Reached> {
  const reached = open(await reachOf(id))
  current()?.guard?.()
  return reached
}

/** All registered nodes. */
export const reachAll = async (): Promise<Reached[]> =>
  (await call(nodes, 'reachAll', {}, { isQuestion: true })).map(open)

const connections = new Map<string, { key: string; libvirt: HostConnection }>()

/** What is needed to work on a node that may not be registered yet. */
export function open(node: Reach): Reached {
  const host = hostOf(node)
  const key = JSON.stringify([
    node.kind,
    node.address,
    node.port,
    node.user,
    node.host_key,
    node.sealed_key,
    node.libvirt_uri,
  ])
  const there = connections.get(node.id)
  if (there?.key === key) return { node, host, libvirt: there.libvirt }
  void there?.libvirt.close()
  const libvirt = hostConnection({ host: node.name, resolveUri: uriOf(node) })
  connections.set(node.id, { key, libvirt })
  return { node, host, libvirt }
}

function hostOf({ id, kind, address, port, user, host_key, sealed_key }: Reach): Host {
  if (kind === 'local') return hostFor(id, { kind })
  return hostFor(id, { kind, address, port, user, hostKey: host_key, privateKey: unseal(sealed_key, 'node') })
}

/** Another connection to a node beside its usual one; `closeHost('NODE/NAME')` ends it. */
export const hostApart = (node: Reach, name: string): Host => hostOf({ ...node, id: `${node.id}/${name}` })

/** Behind SSH the node's libvirt socket is forwarded to one here: one connection, one pinned key for everything. */
function uriOf(node: Reach): () => Promise<string> {
  if (node.kind === 'local') return async () => node.libvirt_uri
  let forward: Forward | undefined
  return async () => {
    await forward?.close()
    const url = new URL(node.libvirt_uri)
    const socket = url.searchParams.get('socket') ?? '/run/libvirt/libvirt-sock'
    forward = await hostOf(node).forwardSocket({ path: socket })
    return `qemu+unix://${url.pathname}?socket=${encodeURIComponent(forward.path)}`
  }
}

/** Lets go of a node that is removed, of its connections too. */
export async function forget(id: string): Promise<void> {
  known.delete(id)
  await connections.get(id)?.libvirt.close()
  connections.delete(id)
  await closeHost(id)
}

export async function closeNodes(): Promise<void> {
  await Promise.all([...connections.keys()].map(forget))
}
