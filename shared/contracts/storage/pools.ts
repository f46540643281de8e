import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { ById, Done, Id, ListQuery, Name, oneOf, Page, Path, strict, Time, Version } from '#shared/contracts/common.ts'

export const VolumeFormat = oneOf('qcow2', 'raw')
export type VolumeFormat = Static<typeof VolumeFormat>

/** What a pool can do, as data: nobody asks for its type. */
export const Capabilities = strict({
  formats: Type.Array(VolumeFormat),
  snapshots: Type.Boolean(),
  linked_clones: Type.Boolean({ description: 'A new volume can share what it has in common with another' }),
  linked_clone_format: Type.Union([VolumeFormat, Type.Null()], {
    description: 'The format of a linked clone, whatever that of the volume it shares with; null: no linked clones',
  }),
  live_clones: Type.Boolean({ description: 'A volume can be made of the disk of a guest that runs' }),
  send: Type.Boolean({ description: 'Differences between snapshots can be sent to another pool' }),
  shared: Type.Boolean({ description: 'The same bytes are reached from several nodes' }),
  live_resize: Type.Boolean(),
})
export type Capabilities = Static<typeof Capabilities>

export const PoolType = oneOf('dir')
export type PoolType = Static<typeof PoolType>

export const Pool = strict({
  id: Id,
  name: Name,
  type: PoolType,
  node: Id,
  path: Path,
  state: oneOf('active', 'inactive'),
  capabilities: Capabilities,
  capacity_bytes: Type.Union([Type.Integer(), Type.Null()], { description: 'null when the node does not answer' }),
  available_bytes: Type.Union([Type.Integer(), Type.Null()]),
  health: oneOf('ok', 'unreachable', 'missing'),
  health_reason: Type.Union([Type.String(), Type.Null()]),
  created_at: Time,
  updated_at: Time,
  version: Version,
})
export type Pool = Static<typeof Pool>

export const pools = contract('pools', {
  list: {
    does: 'List the storage pools',
    rest: 'GET /storage/pools',
    can: 'signed-in',
    itemAccess: 'DatastoreAudit on /api/storage/pools/{id}',
    params: ListQuery('name', 'type', 'node', 'state'),
    result: Page(Pool),
  },
  get: {
    does: 'Get a storage pool with its usage and health',
    rest: 'GET /storage/pools/{id}',
    can: 'DatastoreAudit on /api/storage/pools/{id}',
    params: ById,
    result: Pool,
    computed: true,
  },
  create: {
    does: 'Create a storage pool',
    rest: 'POST /storage/pools',
    can: 'PoolAllocate on /api/storage/pools/{id}',
    audit: 'pool_created',
    params: strict({
      id: Type.Optional(Id),
      name: Type.Optional(Name),
      type: PoolType,
      node: Type.String({ ...Id, default: 'local' }),
      path: Type.Optional(Path),
    }),
    result: Pool,
    status: 201,
  },
  activate: {
    does: 'Activate a storage pool',
    rest: 'POST /storage/pools/{id}/activate',
    can: 'PoolAllocate on /api/storage/pools/{id}',
    audit: 'config_changed',
    params: ById,
    result: Pool,
  },
  deactivate: {
    does: 'Deactivate a storage pool: nothing new is made in it',
    rest: 'POST /storage/pools/{id}/deactivate',
    can: 'PoolAllocate on /api/storage/pools/{id}',
    audit: 'config_changed',
    params: ById,
    result: Pool,
  },
  delete: {
    does: 'Delete a storage pool that has no volumes; its folder stays when it holds anything',
    rest: 'DELETE /storage/pools/{id}',
    can: 'PoolAllocate on /api/storage/pools/{id}',
    audit: 'pool_deleted',
    params: ById,
    result: Done,
    status: 204,
  },
})
