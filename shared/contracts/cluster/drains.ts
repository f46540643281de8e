import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { Id, nullable, strict } from '#shared/contracts/common.ts'

const Move = strict({
  vm_id: Id,
  from: Id,
  to: Id,
  memory_mib: Type.Integer(),
  vcpus: Type.Integer(),
  is_running: Type.Boolean(),
  at_least_seconds: Type.Number({
    minimum: 0,
    description:
      'Memory divided by the bandwidth: a move cannot take less; memory that is written again, and disks that are copied, come on top',
  }),
})

const Stays = strict({ vm_id: Id, reason: Type.String() })

const Conflict = strict({
  constraints: Type.Array(
    strict({
      kind: Type.Enum(['move', 'usable', 'memory', 'vcpus', 'storage', 'cpu', 'rule']),
      subject: Type.String({ description: 'Id of the VM, node or placement rule' }),
      text: Type.String(),
    }),
    { description: 'They cannot all hold; without any one of them the others can, if `is_irreducible`' },
  ),
  is_irreducible: Type.Boolean({ description: 'false: the search was given up, and fewer constraints may do' }),
  remedies: Type.Array(Type.String(), { description: 'Single changes, each of which frees this conflict' }),
})

export const DrainPlan = strict({
  plan_id: Type.String({ description: 'For the header `If-Plan`' }),
  node: Id,
  status: Type.Enum(['possible', 'impossible', 'unknown'], {
    description: 'unknown: the search was given up before it found a way or proved that there is none',
  }),
  moves: Type.Array(Move, { description: 'In this order, one after the other' }),
  stays: Type.Array(Stays, { description: 'VMs that do not move' }),
  peaks: Type.Array(
    strict({
      node: Id,
      memory_mib: Type.Integer({ description: 'Memory of running guests, at its peak' }),
      of_memory_mib: Type.Integer({ description: 'Memory that guests may have there' }),
      vcpus: Type.Integer(),
      of_vcpus: Type.Integer(),
    }),
    { description: 'Load of the nodes that take guests' },
  ),
  bandwidth_mib_s: Type.Integer(),
  at_least_seconds: nullable(Type.Number({ minimum: 0, description: 'Sum of the moves' })),
  conflicts: Type.Array(Conflict, { description: 'Why it is impossible, the smallest first, at most five' }),
  are_all_conflicts_known: Type.Boolean({ description: 'false: there may be other conflicts' }),
})
export type DrainPlan = Static<typeof DrainPlan>

const Bandwidth = Type.Optional(
  Type.Integer({
    minimum: 1,
    maximum: 100_000,
    'x-unit': 'MiB/s',
    description: 'MiB/s of each move; default: that of the migration settings',
  }),
)

export const drains = contract('drains', {
  drain: {
    does: 'Move all guests off a node; with plan, tell the moves, or why it is impossible and what would free it',
    rest: 'POST /cluster/nodes/{id}/drain',
    can: 'SysModify on /api/cluster/nodes/{id}',
    operation: true,
    audit: 'config_changed',
    plan: DrainPlan,
    params: strict({
      id: Id,
      plan: Type.Boolean({ default: false, description: 'Answer with the plan, and change nothing' }),
      maintenance: Type.Boolean({
        default: true,
        description: 'Put the node into maintenance first; an aborted drain takes it back',
      }),
      stopped: Type.Enum(['stay', 'move'], { default: 'stay', description: 'What VMs do that are off' }),
      bandwidth_limit: Bandwidth,
    }),
    result: strict({ moved: Type.Array(Id), skipped: Type.Array(Stays) }),
  },
  restore: {
    does: 'Bring back the guests that drains have moved off a node, as far as they are elsewhere now',
    rest: 'POST /cluster/nodes/{id}/restore',
    can: 'SysModify on /api/cluster/nodes/{id}',
    operation: true,
    audit: 'config_changed',
    plan: DrainPlan,
    params: strict({
      id: Id,
      plan: Type.Boolean({ default: false, description: 'Answer with the plan, and change nothing' }),
      end_maintenance: Type.Boolean({ default: true, description: 'End the maintenance of the node first' }),
      bandwidth_limit: Bandwidth,
    }),
    result: strict({ moved: Type.Array(Id), skipped: Type.Array(Stays) }),
  },
})
