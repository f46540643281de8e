import { Type } from 'typebox'
import { Id, Name, Time, Version } from '#shared/contracts/common.ts'
import { poolKinds, type PoolType, type ShownConfig } from '#shared/contracts/storage/pool-kinds.ts'
import { VolumeFormat } from '#shared/contracts/storage/pools.ts'
import { Volume } from '#shared/contracts/storage/volumes.ts'
import { collection } from '#shared/db/collection.ts'
import { migratePools, migrateVolumes } from './pools/earlier-records.ts'

const StoredPool = Type.Object({
  id: Id,
  name: Name,
  type: Type.Unsafe<PoolType>(Type.String({ enum: Object.keys(poolKinds) })),
  config: Type.Unsafe<ShownConfig>(Type.Object({})),
  sealed: Type.Optional(Type.String({ description: 'The secrets of its kind, encrypted' })),
  nodes: Type.Union([Type.Array(Id), Type.Null()], { description: "The driver's answer, kept for filters" }),
  place: Type.String({ description: "The driver's name of the place; two storage pools never share one" }),
  identity: Type.Optional(
    Type.String({
      description: "The driver's answer at its creation; a storage pool of an earlier version has none yet",
    }),
  ),
  state: Type.Enum(['active', 'inactive']),
  created_at: Time,
  updated_at: Time,
  version: Version,
})

export const poolRecords = collection('pools', StoredPool, {
  kind: 'Storage pool',
  resource: { path: '/api/storage/pools/{id}', sees: 'DatastoreAudit on /api/storage/pools/{id}' },
  indexes: [{ fields: { place: 1 }, unique: true }],
  migrate: migratePools,
})
/** A storage pool as stored, without measured values. */
export type PoolRecord = Awaited<ReturnType<typeof poolRecords.require>>

const { node: _n, source: _s, path: _p, snapshots: _c, ...stored } = Volume.properties

const StoredHead = Type.Object({
  head: Type.Union([Type.String(), Type.Null()], { description: "The driver's word for it" }),
  format: VolumeFormat,
  size_bytes: Type.Integer(),
})

/** A snapshot of the volume, under the id of the VM's snapshot. */
const StoredSnapshot = Type.Object({
  id: Id,
  native: Type.String({ description: "The driver's identity of it" }),
  head: Type.Object(StoredHead.properties, { description: 'The head that guests write after it' }),
  is_taken: Type.Boolean({ description: 'Guests write `head`' }),
})

/** A restore that can be undone. */
const StoredRestore = Type.Object({
  id: Id,
  restored: StoredHead,
  former: StoredHead,
  is_in_place: Type.Boolean({ description: 'Guests write `restored`, and `former` is aside' }),
})

/**
 * `deleting` is set before the bytes are removed: a creation that is still running sees it and cleans up. The source is
 * not stored: the driver answers it.
 */
export const volumeRecords = collection(
  'volumes',
  Type.Object({
    ...stored,
    deleting: Type.Optional(Type.Boolean()),
    head: Type.Optional(StoredHead.properties.head),
    snapshots: Type.Optional(Type.Array(StoredSnapshot)),
    restores: Type.Optional(Type.Array(StoredRestore)),
    reads: Type.Optional(Type.Array(Type.String(), { description: 'Paths of its backing files, of an adopted one' })),
    operation: Type.Optional(Type.String({ description: 'The operation that made it' })),
    read_by: Type.Optional(
      Type.Array(Type.String(), { description: 'Disks in no storage pool that have it as a backing file' }),
    ),
  }),
  {
    kind: 'Volume',
    resource: { path: '/api/storage/pools/{pool}/volumes/{name}', sees: 'DatastoreAudit on /api/storage/pools/{pool}' },
    indexes: [{ fields: { pool: 1, name: 1 }, unique: true }, { fields: { used_by: 1 } }],
    migrate: migrateVolumes,
  },
)
/** A volume as stored. */
export type VolumeRecord = Awaited<ReturnType<typeof volumeRecords.require>>
