import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import {
  ById,
  Done,
  Id,
  ListQuery,
  Name,
  oneOf,
  Page,
  record,
  strict,
  Time,
  Version,
} from '#shared/contracts/common.ts'

const Members = Type.Array(Id, {
  minItems: 2,
  maxItems: 200,
  uniqueItems: true,
  description: 'Ids of VMs; one that does not exist yet counts once it is there',
})

export const PlacementRule = record('name kind vms id')({
  id: Id,
  name: Name,
  kind: Type.Enum(['apart', 'together'], {
    description: 'apart: no two of these VMs on one node; together: all of them on one node',
  }),
  vms: Members,
  created_at: Time,
  updated_at: Time,
  version: Version,
})
export type PlacementRule = Static<typeof PlacementRule>

/** Rules about VMs that share a node, or must not. They hold where Horcrux chooses the node. */
export const placementRules = contract('placement-rules', {
  list: {
    does: 'List the placement rules',
    rest: 'GET /cluster/placement-rules',
    can: 'signed-in',
    itemAccess: 'SysAudit on /api/cluster/placement-rules/{id}',
    params: ListQuery('name', 'kind'),
    result: Page(PlacementRule),
  },
  get: {
    does: 'Get a placement rule',
    rest: 'GET /cluster/placement-rules/{id}',
    can: 'SysAudit on /api/cluster/placement-rules/{id}',
    params: ById,
    result: PlacementRule,
  },
  create: {
    does: 'Create a rule that keeps VMs apart or together',
    rest: 'POST /cluster/placement-rules',
    can: 'SysModify on /api/cluster/placement-rules/{id}',
    audit: 'policy_changed',
    params: strict({ id: Type.Optional(Id), name: Name, kind: oneOf('apart', 'together'), vms: Members }),
    result: PlacementRule,
    status: 201,
  },
  update: {
    does: 'Change a placement rule',
    rest: 'PATCH /cluster/placement-rules/{id}',
    can: 'SysModify on /api/cluster/placement-rules/{id}',
    audit: 'policy_changed',
    params: strict({
      id: Id,
      name: Type.Optional(Name),
      kind: Type.Optional(oneOf('apart', 'together')),
      vms: Type.Optional(Members),
    }),
    result: PlacementRule,
  },
  delete: {
    does: 'Delete a placement rule; no VM moves by that',
    rest: 'DELETE /cluster/placement-rules/{id}',
    can: 'SysModify on /api/cluster/placement-rules/{id}',
    audit: 'policy_changed',
    params: ById,
    result: Done,
    status: 204,
  },
})

/** The choice of a node for something new. */
export const placement = contract('placement', {
  rank: {
    does: 'Rank the nodes for a new VM by the room that stays free, each with the reason for or against it',
    can: 'service',
    callers: ['vm'],
    params: strict({
      vm: Id,
      memory: Type.Integer({ 'x-unit': 'MiB', description: 'MiB' }),
      cpus: Type.Integer(),
      architecture: Type.String(),
      pools: Type.Array(Id),
      start: Type.Boolean(),
    }),
    result: strict({
      candidates: Type.Array(strict({ node: Id, reason: Type.String() }), { description: 'The best first' }),
      refused: Type.Array(strict({ node: Id, reasons: Type.Array(Type.String()) })),
    }),
  },
  room: {
    does: 'List the resources that a node lacks for a guest that is to run there, beside the guests that run on it and move to it',
    can: 'service',
    callers: ['migration'],
    params: strict({ vm: Id, node: Id }),
    result: Type.Array(strict({ kind: oneOf('memory', 'vcpus', 'measured'), text: Type.String() })),
  },
})
