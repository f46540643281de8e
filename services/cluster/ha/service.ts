import { subjectOf } from '#shared/access/access.ts'
import { call } from '#shared/bus/call.ts'
import { permissions } from '#shared/contracts/access/permissions.ts'
import { ha, haGroups, type HaNode, haResources, type HaStatus } from '#shared/contracts/cluster/ha.ts'
import { usualRules } from '#shared/contracts/cluster/usual-ha-rules.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { fencing } from '#shared/contracts/vm/fencing.ts'
import { ConflictError, invalid, NotFoundError, type Violation } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { newId } from '#shared/ids.ts'
import { implement } from '#shared/service/implement.ts'
import { checking, throwAll } from '#shared/service/violations.ts'
import { nodeRecords } from '../nodes/model.ts'
import { failover } from './failover.ts'
import { confirmationRecords, groupRecords, noteAttention, resourceRecords } from './model.ts'
import { gather, type Gathered, nodeStateOf, quarantineSecondsOf } from './world.ts'

/** @throws ValidationError for nodes that are not registered, or are named twice */
async function requireNodes(nodes: { node: string }[] = []): Promise<void> {
  const violations: Violation[] = []
  for (const [index, { node }] of nodes.entries()) {
    await checking(`nodes.${index}.node`, violations, () => nodeRecords.require(node))
    if (nodes.findIndex((each) => each.node === node) !== index)
      violations.push({ field: `nodes.${index}.node`, code: 'twice', message: `node '${node}' is named twice` })
  }
  throwAll(violations)
}

async function requireGroup(id: string | null | undefined): Promise<void> {
  if (id && !(await groupRecords.get(id))) throw invalid('group', `HA group '${id}' not found`, 'not_found')
}

export const haGroupService = implement(haGroups, {
  list: (query, { maySee }) => groupRecords.list(query, maySee),
  get: ({ id }) => groupRecords.require(id),
  create: async ({ id = newId(), ...given }) => {
    await requireNodes(given.nodes)
    const at = now()
    return groupRecords.insert({ ...usualRules, ...given, id, created_at: at, updated_at: at })
  },
  update: async ({ id, ...set }) => {
    await requireNodes(set.nodes)
    return groupRecords.change(id, () => ({ set }))
  },
  delete: async ({ id }) => {
    const group = await groupRecords.requireForChange(id)
    const members = await resourceRecords.all({ group: id })
    if (members.length > 0)
      throw new ConflictError(`HA group '${id}' still has ${members.length} virtual machine(s)`, {
        details: { resources: members.map((member) => member.id) },
      })
    await call(permissions, 'forget', { path: `/api/ha/groups/${id}` })
    await groupRecords.remove(group)
    return null
  },
})

export const haResourceService = implement(haResources, {
  list: (query, { maySee }) => resourceRecords.list(query, maySee),
  get: ({ id }) => resourceRecords.require(id),
  create: async ({ id, group = null, tier }) => {
    await requireGroup(group)
    throwAll((await call(fencing, 'check', { id }, { isQuestion: true })).violations)
    const at = now()
    const { desired_state, status } = await call(vms, 'get', { id }, { isQuestion: true })
    const is_owed = desired_state === 'running' && status === 'stopped'
    const none = { is_owed, attempts: [], attention: null }
    const made = await resourceRecords.insert({ id, group, tier, ...none, created_at: at, updated_at: at })
    try {
      await call(fencing, 'protect', { id }, { timeoutMs: 60_000 })
    } catch (error) {
      await resourceRecords.removeWhere({ _id: id, version: made.version })
      throw error
    }
    return made
  },
  update: async ({ id, group, tier }) => {
    await requireGroup(group)
    return resourceRecords.change(id, () => ({ set: { group, tier, attempts: [] } }))
  },
  delete: async ({ id }) => {
    const resource = await resourceRecords.requireForChange(id)
    await call(fencing, 'release', { id }, { timeoutMs: 60_000 }).catch((error: unknown) => {
      if (!(error instanceof NotFoundError)) throw error
    })
    await call(permissions, 'forget', { path: `/api/ha/resources/${id}` })
    await noteAttention(resource, null)
    await resourceRecords.remove(await resourceRecords.require(id))
    return null
  },
  failover,
})

async function nodeView(id: string): Promise<HaNode> {
  const node = await nodeRecords.require(id)
  const isOnline = node.status === 'online'
  const confirmation = isOnline ? null : await confirmationRecords.get(id)
  return {
    id,
    state: nodeStateOf({ id, isOnline }),
    is_confirmed_off: confirmation !== null,
    confirmed_by: confirmation?.by ?? null,
    quarantined_seconds: quarantineSecondsOf(id),
  }
}

function resourceView({ vms, decisions }: Gathered, id: string): HaStatus['resources'][number] {
  const vm = vms.find((each) => each.id === id)
  const decision = decisions.get(id) ?? { kind: 'nothing' as const, reason: 'its virtual machine is not under HA' }
  return {
    id,
    node: vm?.node ?? null,
    status: vm?.status ?? 'unknown',
    epoch: vm?.epoch ?? 0,
    is_guarded: vm?.is_guarded ?? false,
    old_nodes: vm?.old_nodes ?? [],
    kind: decision.kind,
    to: decision.kind === 'start' ? decision.to : null,
    reason: decision.reason,
  }
}

export const haService = implement(ha, {
  status: async () => {
    const gathered = await gather()
    const { looked, resources, world, holdOff } = gathered
    const why = world.isolation ?? holdOff
    return {
      state: world.isolation !== null ? 'isolated' : holdOff !== null ? 'holding_off' : 'ok',
      reason: why,
      nodes: await Promise.all(looked.map(({ id }) => nodeView(id))),
      resources: resources.map(({ id }) => resourceView(gathered, id)),
    }
  },

  confirmOff: async ({ id }, { caller }) => {
    const { status } = await nodeRecords.require(id)
    if (status === 'online') throw new ConflictError(`Node '${id}' answers: it is not off`)
    const at = now()
    if (!(await confirmationRecords.get(id)))
      await confirmationRecords.insert({ id, by: subjectOf(caller), created_at: at, updated_at: at })
    return nodeView(id)
  },
})
