import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import {
  ById,
  Done,
  Id,
  ListQuery,
  Name,
  None,
  nullable,
  Page,
  record,
  strict,
  Time,
  Version,
} from '#shared/contracts/common.ts'
import { Proof } from '#shared/contracts/vm/fencing.ts'

const Members = Type.Array(
  strict({ node: Id, priority: Type.Integer({ minimum: 0, maximum: 1000, description: 'The highest first' }) }),
  { maxItems: 1000, description: 'Nodes that guests are started on; none: every node' },
)
const Restricted = Type.Boolean({ description: 'true: on no other node; false: other nodes are the last choice' })
const LeastProof = Type.Enum(['node', 'deadline'], {
  description:
    'The least evidence that starts a guest elsewhere. node: the node answered, or the guard reported the end of the guest; deadline: also that the guard must have ended it by now. The word of a user always counts',
})
const Automatic = Type.Boolean({
  description: 'false: Horcrux decides and tells, and only POST /ha/resources/{id}/failover starts a guest',
})
const MaxRestarts = Type.Integer({
  minimum: 0,
  maximum: 10,
  description: 'Starts on its own node, after it or its storage was lost',
})
const MaxRelocations = Type.Integer({ minimum: 0, maximum: 10, description: 'Starts on other nodes' })
const StableSeconds = Type.Integer({
  minimum: 10,
  maximum: 86_400,
  description: 'A guest that has run for so long gets its restarts and relocations back',
})
const HoldOffSeconds = Type.Integer({
  minimum: 5,
  maximum: 3600,
  description:
    'After a start of Horcrux, and after most nodes were lost at once: nothing is started until all nodes have answered, or this time is over',
})

export const HaGroup = record('name nodes restricted automatic max_restarts max_relocations id')({
  id: Id,
  name: Name,
  nodes: Members,
  restricted: Restricted,
  automatic: Automatic,
  least_proof: LeastProof,
  max_restarts: MaxRestarts,
  max_relocations: MaxRelocations,
  stable_seconds: StableSeconds,
  hold_off_seconds: HoldOffSeconds,
  created_at: Time,
  updated_at: Time,
  version: Version,
})
export type HaGroup = Static<typeof HaGroup>

const rules = {
  nodes: Members,
  restricted: Restricted,
  automatic: Automatic,
  least_proof: LeastProof,
  max_restarts: MaxRestarts,
  max_relocations: MaxRelocations,
  stable_seconds: StableSeconds,
  hold_off_seconds: HoldOffSeconds,
}

const given = Type.Partial(Type.Object(rules)).properties

const Group = nullable(Type.String({ ...Id, description: 'HA group; null: the usual rules, on every node' }))
const Tier = Type.Integer({ minimum: 1, maximum: 9, description: 'Guests of a lower tier are started first' })

export const HaResource = record('id group tier is_owed attention')({
  id: Type.String({ ...Id, description: 'Id of the VM' }),
  group: Group,
  tier: Tier,
  is_owed: Type.Boolean({
    description:
      'It is meant to run: it was off when it was put under HA, its node was lost while it ran, or its guard ended it for lost storage',
  }),
  attempts: Type.Array(strict({ at: Time, from: Id, to: Id }), {
    description: 'Starts since it last ran for a while; a change of the resource empties them',
  }),
  attention: nullable(Type.String({ description: 'Why a user has to act' })),
  created_at: Time,
  updated_at: Time,
  version: Version,
})
export type HaResource = Static<typeof HaResource>

export const HaNode = strict({
  id: Id,
  state: Type.Enum(['online', 'suspect', 'lost'], {
    description: 'suspect: it has missed checks; lost: for 15 seconds and three checks',
  }),
  is_confirmed_off: Type.Boolean({ description: 'A user said that it is off; holds until it answers' }),
  confirmed_by: nullable(Type.String()),
  quarantined_seconds: Type.Integer({ description: 'It was lost lately: no guest is started there for so long' }),
})
export type HaNode = Static<typeof HaNode>

const decided = {
  kind: Type.Enum(['nothing', 'wait', 'start', 'needs_attention']),
  to: nullable(Type.String({ description: 'Node on which it is started' })),
  reason: Type.String(),
}

export const HaStatus = strict({
  state: Type.Enum(['ok', 'isolated', 'holding_off'], {
    description: 'isolated: most nodes were lost at once, so the fault is probably here; nothing is started',
  }),
  reason: nullable(Type.String()),
  nodes: Type.Array(HaNode),
  resources: Type.Array(
    strict({
      id: Id,
      node: nullable(Id),
      status: Type.String(),
      epoch: Type.Integer(),
      is_guarded: Type.Boolean(),
      old_nodes: Type.Array(Id),
      ...decided,
    }),
  ),
})
export type HaStatus = Static<typeof HaStatus>

const Outcome = strict({
  vm_id: Id,
  from: Id,
  to: Id,
  proof: Proof,
  epoch: Type.Integer(),
  reason: Type.String(),
  inputs: Type.Array(Type.String(), {
    description:
      'The state of every node when it was decided, and that of the storage for a guest that its guard has ended',
  }),
})

export const haGroups = contract('ha-groups', {
  list: {
    does: 'List the HA groups',
    rest: 'GET /ha/groups',
    can: 'signed-in',
    itemAccess: 'SysAudit on /api/ha/groups/{id}',
    params: ListQuery('name'),
    result: Page(HaGroup),
  },
  get: {
    does: 'Get an HA group',
    rest: 'GET /ha/groups/{id}',
    can: 'SysAudit on /api/ha/groups/{id}',
    params: ById,
    result: HaGroup,
  },
  create: {
    does: 'Create an HA group: nodes, budgets and the least evidence for VMs that are started elsewhere',
    rest: 'POST /ha/groups',
    can: 'SysModify on /api/ha/groups/{id}',
    audit: 'policy_changed',
    params: strict({ id: Type.Optional(Id), name: Name, ...given }),
    result: HaGroup,
    status: 201,
  },
  update: {
    does: 'Change an HA group',
    rest: 'PATCH /ha/groups/{id}',
    can: 'SysModify on /api/ha/groups/{id}',
    audit: 'policy_changed',
    params: strict({ id: Id, name: Type.Optional(Name), ...given }),
    result: HaGroup,
  },
  delete: {
    does: 'Delete an HA group without resources',
    rest: 'DELETE /ha/groups/{id}',
    can: 'SysModify on /api/ha/groups/{id}',
    audit: 'policy_changed',
    params: ById,
    result: Done,
    status: 204,
  },
})

export const haResources = contract('ha-resources', {
  list: {
    does: 'List the VMs under HA',
    rest: 'GET /ha/resources',
    can: 'signed-in',
    itemAccess: 'SysAudit on /api/ha/resources/{id}',
    params: ListQuery('group', 'tier'),
    result: Page(HaResource),
  },
  get: {
    does: 'Get a VM under HA',
    rest: 'GET /ha/resources/{id}',
    can: 'SysAudit on /api/ha/resources/{id}',
    params: ById,
    result: HaResource,
  },
  create: {
    does: 'Put a VM under HA: when its node is lost, its guest is started elsewhere once it is known not to run',
    rest: 'POST /ha/resources',
    can: 'SysModify on /api/ha/resources/{id}',
    audit: 'policy_changed',
    params: strict({
      id: Type.String({ ...Id, description: 'Id of the VM' }),
      group: Type.Optional(Group),
      tier: Type.Integer({ ...Tier, default: 5 }),
    }),
    result: HaResource,
    status: 201,
  },
  update: {
    does: 'Change the group or tier of a VM under HA; its budgets begin anew',
    rest: 'PATCH /ha/resources/{id}',
    can: 'SysModify on /api/ha/resources/{id}',
    audit: 'policy_changed',
    params: strict({ id: Id, group: Type.Optional(Group), tier: Type.Optional(Tier) }),
    result: HaResource,
  },
  delete: {
    does: 'Take a VM out of HA; its guest runs on',
    rest: 'DELETE /ha/resources/{id}',
    can: 'SysModify on /api/ha/resources/{id}',
    audit: 'policy_changed',
    params: ById,
    result: Done,
    status: 204,
  },
  failover: {
    does: 'Start a VM under HA whose node was lost, as GET /ha/status says; Horcrux does it by itself',
    rest: 'POST /ha/resources/{id}/failover',
    can: 'SysModify on /api/ha/resources/{id}',
    operation: true,
    audit: 'vm_migrated',
    params: ById,
    result: Outcome,
  },
})

export const ha = contract('ha', {
  status: {
    does: 'Tell the state of HA: nodes, and for each VM under HA the decision with its reason',
    rest: 'GET /ha/status',
    can: 'SysAudit on /api/ha/status',
    params: None,
    result: HaStatus,
    computed: true,
  },
  confirmOff: {
    does: 'Confirm that a lost node is off, so that its guests are started elsewhere without other evidence',
    rest: 'POST /ha/nodes/{id}/confirm-off',
    can: 'SysModify on /api/cluster/nodes/{id}',
    audit: 'policy_changed',
    params: ById,
    result: HaNode,
  },
})
