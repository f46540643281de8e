import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import {
  ById,
  Done,
  Id,
  Name,
  oneOf,
  Page,
  Path,
  SearchQuery,
  strict,
  Time,
  Version,
} from '#shared/contracts/common.ts'
import { byKind, poolKinds, poolSecrets, type PoolType, requestedKinds } from '#shared/contracts/storage/pool-kinds.ts'

export const VolumeFormat = oneOf('qcow2', 'raw')
export type VolumeFormat = Static<typeof VolumeFormat>

/** Capabilities of a storage pool. Callers read them, never the type. */
export const Capabilities = strict({
  formats: Type.Array(VolumeFormat),
  default_format: Type.Union([VolumeFormat, Type.Null()], {
    description: 'The format of a new volume that is given none; null: none are made in it',
  }),
  snapshots: Type.Boolean(),
  linked_clones: Type.Boolean({ description: 'A volume can be made that reads unchanged blocks from another' }),
  linked_clone_format: Type.Union([VolumeFormat, Type.Null()], {
    description: 'The format of every linked clone; null: no linked clones',
  }),
  linked_clones_pinned: Type.Boolean({
    description: 'A volume cannot be changed or deleted while linked clones read from it',
  }),
  live_clones: Type.Boolean({ description: 'The disk of a running guest can be copied into a volume' }),
  send: Type.Boolean({ description: 'Differences between snapshots can be sent to another pool' }),
  shared: Type.Boolean({ description: 'The same bytes are reached from several nodes' }),
  live_resize: Type.Boolean(),
  objects: Type.Boolean({ description: 'Backups can be kept in it' }),
})
export type Capabilities = Static<typeof Capabilities>

const Bytes = Type.Union([Type.Integer({ minimum: 0 }), Type.Null()])

/** Bytes of a storage pool or a volume, the same for all kinds; null where the kind cannot know it. */
export const Figures = strict({
  logical_bytes: Type.Union(Bytes.anyOf, { description: 'As guests see them' }),
  referenced_bytes: Type.Union(Bytes.anyOf, { description: 'Taken by its data, shared with others or not' }),
  exclusive_bytes: Type.Union(Bytes.anyOf, { description: 'Of these, shared with nothing else' }),
  freed_if_deleted_bytes: Type.Union(Bytes.anyOf, { description: 'What its deletion gives back' }),
  reserved_bytes: Type.Union(Bytes.anyOf, { description: 'Taken whether written or not' }),
  source: Type.String({ description: 'The tool that told' }),
  measured_at: Time,
  age_seconds: Type.Integer({ minimum: 0 }),
})
export type Figures = Static<typeof Figures>

/** Something of a storage pool that can become full. */
const Fill = strict({
  name: oneOf('space', 'data', 'metadata', 'quota'),
  capacity_bytes: Type.Integer(),
  available_bytes: Type.Integer(),
  full_at: Type.Union([Time, Type.Null()], {
    description: 'When it is full at the rate of the last two days; null: not within years, or not known yet',
  }),
  floor_bytes: Type.Integer({ description: 'With less than this available, nothing new is begun in the storage pool' }),
})

/** The fields that storage pools of all kinds have. */
const common = {
  id: Id,
  name: Name,
  nodes: Type.Union([Type.Array(Id), Type.Null()], { description: 'The nodes that reach it; null: all' }),
  state: oneOf('active', 'inactive'),
  capabilities: Capabilities,
  capacity_bytes: Type.Union([Type.Integer(), Type.Null()], { description: 'null when the node does not answer' }),
  available_bytes: Type.Union([Type.Integer(), Type.Null()]),
  usage: Type.Union([Figures, Type.Null()], {
    description: 'As it was when the storage pool last answered; null: never since the service has started',
  }),
  fills: Type.Array(Fill),
  health: Type.Enum(['ok', 'low', 'degraded', 'unreachable', 'missing', 'foreign'], {
    description:
      'low: below a floor, so nothing new is begun; degraded: it works, and reports an error of itself; unreachable: the node or the storage does not answer; missing: it is not there; foreign: something else is in its place',
  }),
  health_reason: Type.Union([Type.String(), Type.Null()]),
  created_at: Time,
  updated_at: Time,
  version: Version,
}

export const Pool = byKind(poolKinds, 'config', common, {
  'x-columns': ['name', 'type', 'state', 'health', 'capacity_bytes', 'available_bytes', 'id'],
})
export type Pool = Static<typeof Pool>

/** True when a node reaches the volumes of a storage pool. */
export const isReachedFrom = ({ nodes }: Pick<Pool, 'nodes'>, node: string): boolean =>
  nodes === null || nodes.includes(node)

/** Storage pools are searched and sorted by fields that are stored; the others are measured for each answer. */
const Stored = Type.Object({
  id: Id,
  name: Name,
  type: Type.String(),
  state: common.state,
  created_at: Time,
  updated_at: Time,
})
const { facets: _f, can: _c, ...listQuery } = SearchQuery(Stored, ['name', 'type', 'node', 'state']).properties

export const pools = contract('pools', {
  list: {
    does: 'List the storage pools',
    rest: 'GET /storage/pools',
    can: 'signed-in',
    itemAccess: 'DatastoreAudit on /api/storage/pools/{id}',
    params: strict(listQuery),
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
  places: {
    does: 'Tell which nodes reach each storage pool, without a question to any of them',
    can: 'service',
    callers: ['cluster', 'vm'],
    params: strict({}),
    result: Type.Array(
      strict({ id: Id, nodes: Type.Union([Type.Array(Id), Type.Null()]), state: oneOf('active', 'inactive') }),
    ),
  },
  checkFrom: {
    does: 'Check each active storage pool that a node reaches, from this node',
    can: 'service',
    callers: ['cluster'],
    params: strict({ node: Id }),
    result: Type.Array(
      strict({ pool: Id, reason: Type.Union([Type.String(), Type.Null()], { description: 'null: ok' }) }),
    ),
  },
  orphans: {
    does: 'List the images in a storage pool that have no record, and the volumes that have no image; nothing is changed',
    rest: 'GET /storage/pools/{id}/orphans',
    can: 'DatastoreAudit on /api/storage/pools/{id}',
    params: ById,
    result: strict({
      images: Type.Array(strict({ name: Type.String(), format: VolumeFormat, size_bytes: Type.Integer() }), {
        description: 'Without a record; a scan makes volumes of them',
      }),
      volumes: Type.Array(strict({ name: Type.String(), used_by: Type.Union([Type.String(), Type.Null()]) }), {
        description: 'Without an image',
      }),
      others: Type.Array(strict({ name: Type.String(), reason: Type.String() }), {
        description: 'Things that can be no volumes',
      }),
    }),
    computed: true,
  },
  detect: {
    does: 'Tell the kind of storage, the format and the volume of an existing disk by its path on a node',
    rest: 'POST /storage/detect',
    can: 'SysModify on /api/cluster/nodes/{node}',
    params: strict({ node: Type.String({ ...Id, default: 'local' }), path: Path }),
    result: strict({
      type: oneOf(...(Object.keys(poolKinds) as [PoolType, ...PoolType[]])),
      format: VolumeFormat,
      size_bytes: Type.Integer(),
      pool: Type.Union([Id, Type.Null()], { description: 'The storage pool in which it is; null: in none' }),
      volume: Type.Union([Type.String(), Type.Null()], { description: 'Its name there' }),
    }),
    computed: true,
  },
  create: {
    does: 'Create a storage pool',
    rest: 'POST /storage/pools',
    can: 'PoolAllocate on /api/storage/pools/{id}',
    audit: 'pool_created',
    secret: poolSecrets,
    params: byKind(requestedKinds, 'given', { id: Type.Optional(Id), name: Type.Optional(Name) }),
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
    does: 'Delete a storage pool that has no volumes; files of others in it stay',
    rest: 'DELETE /storage/pools/{id}',
    can: 'PoolAllocate on /api/storage/pools/{id}',
    audit: 'pool_deleted',
    params: ById,
    result: Done,
    status: 204,
  },
})
