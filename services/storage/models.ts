import { Type } from 'typebox'
import { Pool, type Pool as PoolView } from '#shared/contracts/storage/pools.ts'
import { Volume } from '#shared/contracts/storage/volumes.ts'
import { collection } from '#shared/db/collection.ts'

const {
  capacity_bytes: _c,
  available_bytes: _a,
  health: _h,
  health_reason: _r,
  capabilities: _p,
  ...kept
} = Pool.properties

export const poolRecords = collection('pools', Type.Object(kept), {
  kind: 'Storage pool',
  indexes: [{ fields: { node: 1, path: 1 }, unique: true }],
})
/** What is stored of a pool; what is measured is not. */
export type PoolRecord = Pick<PoolView, keyof typeof kept>

/** `deleting` is set before the bytes go, so that a creation that is still under way sees it and cleans up. */
export const volumeRecords = collection(
  'volumes',
  Type.Object({ ...Volume.properties, deleting: Type.Optional(Type.Boolean()) }),
  { kind: 'Volume', indexes: [{ fields: { pool: 1, name: 1 }, unique: true }, { fields: { used_by: 1 } }] },
)
