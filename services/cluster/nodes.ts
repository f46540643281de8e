import { isDeepStrictEqual } from 'node:util'
import { call } from '#shared/bus/call.ts'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { permissions } from '#shared/contracts/access/permissions.ts'
import { alreadyExists, ConflictError, invalid, ValidationError } from '#shared/errors.ts'
import { scanHostKey } from '#shared/nodes/host/ssh/ssh.ts'
import { newId } from '#shared/ids.ts'
import { forget, open, type Reached, remember } from '#shared/nodes/nodes.ts'
import { operation } from '#shared/operation/kinds.ts'
import { seal } from '#shared/config/secrets.ts'
import { implement } from '#shared/service/implement.ts'
import { healthOf } from './health/watch.ts'
import { cpuBaselines } from './nodes/cpu-baseline.ts'
import { engineStatesOf, factsOf } from './nodes/facts.ts'
import { requireEmpty } from './nodes/holds.ts'
import { localId, nodeRecords } from './nodes/model.ts'
import { configFromOlderNames } from './nodes/older-names.ts'
import type { StoredNode } from './nodes/stored-node.ts'
import { unchecked, unknownEngines } from './nodes/unchecked.ts'
import { reachOf, viewOf } from './nodes/view.ts'

export const nodeService = implement(nodes, {
  list: async (query, { maySee }) => {
    const page = await nodeRecords.list(query, maySee)
    return { ...page, data: page.data.map(viewOf) }
  },
  get: async ({ id }) => viewOf(await nodeRecords.require(id)),
  reach: async ({ id }) => reachOf(await nodeRecords.require(id)),
  reachAll: async () => (await nodeRecords.all()).map(reachOf),

  health: ({ id }) => healthOf(id),
  cpuBaseline: async () => cpuBaselines((await nodeRecords.all()).map((node) => open(reachOf(node)))),

  pinHostKey: async ({ id, host_key }) => {
    const changed = await nodeRecords.change(id, async (node) => {
      if (node.kind === 'local') refuseForLocal({ host_key }, node)
      await requireShown(node, host_key)
      return { set: { host_key, ...(await probeChanged(node, { host_key })) } }
    })
    remember(reachOf(changed))
    return viewOf(changed)
  },

  hostKey: async ({ address, ssh_port }) => {
    const { type, fingerprint, publicKey } = await scanHostKey(address, ssh_port)
    return { type, fingerprint, public_key: publicKey }
  },

  register: operation({
    accept: async (
      { id = newId(), private_key, libvirt_uri, engine_sockets, engine_config, ...given },
      { hold, reserve },
    ) => {
      await hold(`/api/cluster/nodes/${id}`)
      await reserve(`node name ${given.name}`)
      if (await nodeRecords.get(id)) throw alreadyExists(id, { field: 'id' })
      if (await nodeRecords.find({ name: given.name })) throw alreadyExists(given.name, { field: 'name' })
      const host_key = given.host_key ?? (await demandHostKey(given.address, given.ssh_port))
      const engines = engine_config ?? configFromOlderNames({}, { libvirt_uri, engine_sockets })
      return { ...given, id, host_key, engine_config: engines, sealed_key: seal(private_key, 'node') }
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
        ...unchecked(),
        version: 1,
      }
      const probe = () =>
        withProbe(node, async (reached) => ({
          facts: await factsOf(reached.host),
          engines: await engineStatesOf(reached),
        }))
      const found = await op.step('probing host and engines', probe)
      // Reading its facts has shown that it answers.
      const probed = { ...node, ...found, status: 'online' as const }
      const registered = await op.step('registering', () => insertOnce(probed), {
        undo: async () => nodeRecords.removeWhere({ _id: id }),
      })
      return viewOf(registered)
    },
  }),

  update: async ({ id, private_key, ...given }) => {
    const changed = await nodeRecords.change(id, async (node) => {
      const { libvirt_uri, engine_sockets, engine_config, ...fields } = given
      if (node.kind === 'local') refuseForLocal({ ...given, private_key }, node)
      else refuseNulls(given)
      const engines = engine_config ?? configFromOlderNames(node.engine_config, { libvirt_uri, engine_sockets })
      const set = {
        ...fields,
        ...(private_key !== undefined && { sealed_key: seal(private_key, 'node') }),
        ...(!isDeepStrictEqual(engines, node.engine_config) && { engine_config: engines, engines: unknownEngines() }),
      }
      return { set: { ...set, ...(await probeChanged(node, set)) } }
    })
    remember(reachOf(changed))
    return viewOf(changed)
  },

  remove: async ({ id }) => {
    const node = await nodeRecords.requireForChange(id)
    if (id === localId) throw new ConflictError('The machine that Horcrux runs on cannot be removed')
    await requireEmpty(id)
    await call(permissions, 'forget', { path: `/api/cluster/nodes/${id}` })
    await nodeRecords.remove(node)
    await forget(id)
    return null
  },
})

/** Fields of a request that say how a node is reached. */
const addressing = ['address', 'ssh_port', 'ssh_user', 'host_key', 'private_key', 'libvirt_uri'] as const

/** @throws ValidationError naming every field that cannot be changed of the machine that Horcrux runs on */
function refuseForLocal(given: Partial<Record<(typeof addressing)[number], unknown>>, node: StoredNode): void {
  const view: Record<string, unknown> = viewOf(node)
  const refused = addressing.filter((field) => given[field] !== undefined && given[field] !== view[field])
  if (refused.length === 0) return
  const message = 'cannot be changed: Horcrux itself runs on this machine'
  throw new ValidationError(refused.map((field) => ({ field, code: 'local', message })))
}

/** @throws ValidationError naming the fields that only the local node, which has none of them, is given as null */
function refuseNulls(given: Partial<Record<(typeof addressing)[number], unknown>>): void {
  const nulls = addressing.filter((field) => given[field] === null)
  if (nulls.length === 0) return
  const message = 'must be given for a node that is reached over SSH'
  throw new ValidationError(nulls.map((field) => ({ field, code: 'required', message })))
}

/** Fields of a record that a connection is made from. */
const connecting = ['address', 'ssh_port', 'ssh_user', 'host_key', 'sealed_key', 'engine_config'] as const

/**
 * Connects to a node with its changed address, key or engines: a mistake must not make its guests unreachable.
 * @returns the facts and engines that were found; nothing when nothing of this changed, or for this machine
 * @throws UnavailableError when it does not answer, or shows another host key than the one that is pinned
 */
async function probeChanged(node: StoredNode, set: Partial<StoredNode>): Promise<Partial<StoredNode>> {
  const isChanged = connecting.some((field) => set[field] !== undefined && !isDeepStrictEqual(set[field], node[field]))
  if (!isChanged || node.kind === 'local') return {}
  return withProbe({ ...node, ...set }, async (reached) => {
    const [facts, engines] = [await factsOf(reached.host), await engineStatesOf(reached)]
    return { facts, engines, status: 'online', status_reason: null }
  })
}

/**
 * Opens a connection for one piece of work, apart from those of the node's id: services close these when they find that a
 * node of this id was removed, which may be a moment ago.
 */
async function withProbe<T>(node: StoredNode, work: (reached: Reached) => Promise<T>): Promise<T> {
  const id = `${node.id}/${newId()}`
  try {
    return await work(open({ ...reachOf(node), id }))
  } finally {
    await forget(id)
  }
}

/** @throws ConflictError when a node shows another key than the one that the caller has compared */
async function requireShown({ id, address, ssh_port, host_key: pinned }: StoredNode, given: string): Promise<void> {
  const { fingerprint: shown, type } = await scanHostKey(address ?? '', ssh_port ?? 22)
  if (shown === given) return
  throw new ConflictError(`Node '${id}' shows the ${type} key ${shown}, not ${given}; the pinned one is ${pinned}`, {
    details: { pinned, shown, given },
  })
}

/** Asks the caller to compare the key that the host shows with the host's own, and to send it back. @throws ValidationError always */
async function demandHostKey(address: string, port: number): Promise<never> {
  const { fingerprint, type } = await scanHostKey(address, port)
  throw invalid(
    'host_key',
    `is required: ${address} shows the ${type} key ${fingerprint}; compare it with the host's own and send it`,
    'required',
  )
}

/** Inserts a node; on a repeated try, finds the one that the first try inserted. */
async function insertOnce(node: StoredNode): Promise<StoredNode> {
  return (await nodeRecords.get(node.id)) ?? (await nodeRecords.insert(node))
}
