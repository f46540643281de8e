import { call } from '#shared/bus/call.ts'
import { type Node, nodes, type Reach } from '#shared/contracts/cluster/nodes.ts'
import { permissions } from '#shared/contracts/access/permissions.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { alreadyExists, ConflictError, invalid, ValidationError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { scanHostKey } from '#shared/nodes/host/ssh/ssh.ts'
import { newId } from '#shared/ids.ts'
import { forget, open } from '#shared/nodes/nodes.ts'
import { operation } from '#shared/operation/kinds.ts'
import { seal } from '#shared/config/secrets.ts'
import { implement } from '#shared/service/implement.ts'
import { factsOf } from './facts.ts'
import { localId, nodeRecords, type StoredNode } from './model.ts'

/** A record as callers see it: without the key. */
export const viewOf = ({ sealed_key: _, ...node }: StoredNode): Node => node

/** How services reach it. */
export const reachOf = (node: StoredNode): Reach => ({
  id: node.id,
  name: node.name,
  kind: node.kind,
  address: node.address ?? '',
  port: node.ssh_port ?? 22,
  user: node.ssh_user ?? '',
  host_key: node.host_key ?? '',
  sealed_key: node.sealed_key,
  libvirt_uri: node.libvirt_uri,
  allowed_paths: node.allowed_paths,
  state_dir: node.state_dir,
  engine_sockets: node.engine_sockets,
  accel: node.facts?.accel ?? null,
  architecture: node.facts?.architecture ?? null,
  maintenance: node.maintenance,
})

export const nodeService = implement(nodes, {
  list: async (query, { maySee }) => {
    const page = await nodeRecords.list(query, maySee)
    return { ...page, data: page.data.map(viewOf) }
  },
  get: async ({ id }) => viewOf(await nodeRecords.require(id)),
  reach: async ({ id }) => reachOf(await nodeRecords.require(id)),
  reachAll: async () => (await nodeRecords.all()).map(reachOf),

  hostKey: async ({ address, ssh_port }) => {
    const { type, fingerprint, publicKey } = await scanHostKey(address, ssh_port)
    return { type, fingerprint, public_key: publicKey }
  },

  register: operation({
    accept: async ({ id = newId(), private_key, ...given }, { hold, reserve }) => {
      await hold(`/api/cluster/nodes/${id}`)
      await reserve(`node name ${given.name}`)
      if (await nodeRecords.get(id)) throw alreadyExists(id, { field: 'id' })
      if (await nodeRecords.find({ name: given.name })) throw alreadyExists(given.name, { field: 'name' })
      const host_key = given.host_key ?? (await demandHostKey(given.address, given.ssh_port))
      return { ...given, id, host_key, sealed_key: seal(private_key, 'node') }
    },
    run: async (op, { id, address, ssh_port, ssh_user, ...given }) => {
      const node: StoredNode = {
        ...given,
        id,
        kind: 'ssh',
        address,
        ssh_port,
        ssh_user,
        state_dir: '/var/lib/horcrux',
        ...unseen(),
        version: 1,
      }
      const reached = open(reachOf(node))
      const close = () => forget(id)
      const facts = await op.step('probing', () => factsOf(reached.host, reached.libvirt), { undo: close })
      // Reading its facts has shown that it answers.
      const seen = { ...node, facts, status: 'online' as const }
      const registered = await op.step('registering', () => insertOnce(seen), {
        undo: async () => nodeRecords.removeWhere({ _id: id }),
      })
      return viewOf(registered)
    },
  }),

  update: async ({ id, private_key, ...given }) => {
    const set = { ...given, ...(private_key !== undefined && { sealed_key: seal(private_key, 'node') }) }
    const changed = await nodeRecords.change(id, async (node) => ({ set: { ...set, ...(await answering(node, set)) } }))
    return viewOf(changed)
  },

  remove: async ({ id }) => {
    const node = await nodeRecords.requireForChange(id)
    if (id === localId) throw new ConflictError('The machine that Horcrux runs on cannot be removed')
    const everything = { limit: 1, filter: `node:${id}` }
    const [guests, storage] = await Promise.all([call(vms, 'list', everything), call(pools, 'list', everything)])
    if (guests.total + storage.total > 0)
      throw new ConflictError(
        `Node '${id}' still holds ${guests.total} virtual machine(s) and ${storage.total} pool(s)`,
      )
    await call(permissions, 'forget', { path: `/api/cluster/nodes/${id}` })
    await nodeRecords.remove(node)
    await forget(id)
    return null
  },
})

const ways = ['address', 'ssh_port', 'ssh_user', 'host_key', 'sealed_key', 'libvirt_uri'] as const

/**
 * Reaches a node in another way, when it is to be: a mistake must not cut off what runs there.
 * @returns what that has shown of the node; nothing when it is reached as before
 * @throws UnavailableError when it does not answer, or shows another host key than the one that is pinned
 */
async function answering(node: StoredNode, set: Partial<StoredNode>): Promise<Partial<StoredNode>> {
  const changed = ways.filter((field) => set[field] !== undefined && set[field] !== node[field])
  if (changed.length === 0) return {}
  if (node.kind === 'local') {
    const words = 'is not a matter of the machine that Horcrux runs on'
    throw new ValidationError(
      changed
        .map((name) => name.replace('sealed', 'private'))
        .map((field) => ({ field, code: 'local', message: words })),
    )
  }
  const aside = `${node.id}/${newId()}`
  const { host, libvirt } = open({ ...reachOf({ ...node, ...set }), id: aside })
  try {
    return { facts: await factsOf(host, libvirt), status: 'online', status_reason: null }
  } finally {
    await forget(aside)
  }
}

/** What is said of a node before anybody has looked after it. */
const unseen = () => ({
  status: 'unknown' as const,
  status_reason: null,
  hypervisor_status: 'unknown' as const,
  hypervisor_reason: null,
  maintenance: false,
  facts: null,
  created_at: now(),
  updated_at: now(),
})

/** Nobody's key is taken on trust: the caller compares what the host shows and sends it back. */
async function demandHostKey(address: string, port: number): Promise<never> {
  const { fingerprint, type } = await scanHostKey(address, port)
  throw invalid(
    'host_key',
    `is required: ${address} shows the ${type} key ${fingerprint}; compare it with the host's own and send it`,
    'required',
  )
}

/** Registers, or finds what this operation registered before it was interrupted. */
async function insertOnce(node: StoredNode): Promise<StoredNode> {
  return (await nodeRecords.get(node.id)) ?? (await nodeRecords.insert(node))
}

/** The machine that this process runs on, as the node `local`; made at the first start, brought up to date at each. */
export async function registerLocal(fixed: Pick<Node, 'allowed_paths' | 'state_dir' | 'name'>): Promise<void> {
  const there = await nodeRecords.get(localId)
  if (there) {
    const { allowed_paths, state_dir } = fixed
    await nodeRecords.updateWhere({ _id: localId }, { set: { allowed_paths, state_dir, facts: null } })
    return
  }
  await nodeRecords.insert({
    ...fixed,
    id: localId,
    kind: 'local',
    engine_sockets: {},
    address: null,
    ssh_port: null,
    ssh_user: null,
    host_key: null,
    sealed_key: '',
    libvirt_uri: 'qemu:///system',
    ...unseen(),
  })
}
