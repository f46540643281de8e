import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import type { Unit } from '#shared/contract/hints.ts'
import {
  ById,
  Done,
  Id,
  Labels,
  ListQuery,
  Name,
  oneOf,
  Page,
  record,
  strict,
  Time,
  Version,
} from '#shared/contracts/common.ts'

const Amount = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const footprint = {
  cpus: Type.Integer({ minimum: 0, description: 'vCPUs' }),
  memory: Type.Integer({ minimum: 0, 'x-unit': 'MiB', description: 'MiB' }),
  disk: Type.Integer({ minimum: 0, 'x-unit': 'bytes', description: 'Bytes' }),
}
const inUnit = (unit?: Unit) => (unit ? { 'x-unit': unit } : {})
const limit = (counted: string, unit?: Unit) =>
  Type.Union([Amount, Type.Null()], { default: null, ...inUnit(unit), description: `${counted}; null is no limit` })
const givenLimit = (unit?: Unit) => Type.Optional(Type.Union([Amount, Type.Null()], inUnit(unit)))

export const Limits = strict({
  cpus: limit('vCPUs'),
  memory: limit('MiB', 'MiB'),
  disk: limit('Bytes', 'bytes'),
  instances: limit('VMs and containers'),
})
export type Limits = Static<typeof Limits>

const Footprint = strict(footprint)
export type Footprint = Static<typeof Footprint>

export const MemberKind = oneOf('vm', 'container', 'storage', 'network')
export const Member = strict({
  kind: MemberKind,
  id: Type.String({
    examples: ['web-1'],
    pattern: '^[A-Za-z0-9_-]{1,255}$',
    errorMessage: 'must be the id of a resource',
  }),
  ...footprint,
})
export type Member = Static<typeof Member>

export const ResourcePool = record('name used.cpus used.memory used.disk used.instances id')({
  id: Type.String(),
  name: Name,
  description: Type.String({ maxLength: 1000 }),
  labels: Type.Unsafe<Labels>({ ...Labels, description: 'Selected by the namespace_selector of network policies' }),
  limits: Limits,
  used: strict({ ...footprint, instances: Type.Integer({ minimum: 0 }) }),
  members: Type.Array(Member),
  created_at: Time,
  updated_at: Time,
  version: Version,
})
export type ResourcePool = Static<typeof ResourcePool>

const Given = {
  name: Name,
  description: Type.String({ maxLength: 1000, default: '' }),
  labels: Type.Optional(Labels),
  limits: Type.Optional(
    strict({
      cpus: givenLimit(),
      memory: givenLimit('MiB'),
      disk: givenLimit('bytes'),
      instances: givenLimit(),
    }),
  ),
}
const OfMember = strict({ id: Id, kind: MemberKind, member: Member.properties.id })

/** A caller that may see a member by a grant on the resource pool may see the resource pool. */
export const resourcePools = contract('resource-pools', {
  list: {
    does: 'List resource pools',
    rest: 'GET /resource-pools',
    can: 'signed-in',
    params: ListQuery('id', 'name'),
    result: Page(ResourcePool),
  },
  get: {
    does: 'Get a resource pool',
    rest: 'GET /resource-pools/{id}',
    can: 'signed-in',
    params: ById,
    result: ResourcePool,
  },
  create: {
    does: 'Create a resource pool',
    rest: 'POST /resource-pools',
    can: 'PoolAllocate on /api/resource-pools',
    audit: 'config_changed',
    status: 201,
    params: strict({ id: Type.Optional(Id), ...Given }),
    result: ResourcePool,
  },
  replace: {
    does: 'Change a resource pool; limits below the current use apply to later additions',
    rest: 'PUT /resource-pools/{id}',
    can: 'PoolAllocate on /api/resource-pools/{id}',
    audit: 'config_changed',
    params: strict({ id: Id, ...Given }),
    result: ResourcePool,
  },
  delete: {
    does: 'Delete a resource pool; its members stay',
    rest: 'DELETE /resource-pools/{id}',
    can: 'PoolAllocate on /api/resource-pools/{id}',
    audit: 'config_changed',
    status: 204,
    params: ById,
    result: Done,
  },
  putMember: {
    does: 'Add a VM, container, storage pool or network to a resource pool',
    rest: 'PUT /resource-pools/{id}/members/{kind}/{member}',
    can: 'PoolAllocate on /api/resource-pools/{id}',
    audit: 'config_changed',
    params: OfMember,
    result: ResourcePool,
  },
  removeMember: {
    does: 'Remove a member from a resource pool',
    rest: 'DELETE /resource-pools/{id}/members/{kind}/{member}',
    can: 'PoolAllocate on /api/resource-pools/{id}',
    audit: 'config_changed',
    status: 204,
    params: OfMember,
    result: Done,
  },
  reserve: {
    does: 'Count a VM, container or network in its resource pool before it is made: permanently, or as a reservation',
    can: 'service',
    callers: ['vm', 'container'],
    params: strict({
      pool: Id,
      ...Member.properties,
      reserved: Type.Optional(strict({ until: Time, by: Type.String({ description: 'Id of the operation' }) })),
    }),
    result: Done,
  },
  cancel: {
    does: 'Remove the reservation of an operation that failed',
    can: 'service',
    callers: ['vm', 'container'],
    params: strict({ pool: Id, kind: MemberKind, id: Member.properties.id, by: Type.String() }),
    result: Done,
  },
  recount: {
    does: 'Recount a VM or container in every resource pool it is in, or in none if a limit would be exceeded',
    can: 'service',
    callers: ['vm', 'container'],
    params: Member,
    result: Done,
  },
  release: {
    does: 'Remove a deleted or never created VM, container or network from every resource pool',
    can: 'service',
    callers: ['vm', 'container'],
    params: strict({ kind: MemberKind, member: Member.properties.id }),
    result: Done,
  },
})
