import type { Pool } from '#shared/contracts/storage/pools.ts'

/** The folder of a storage pool of a kind that has one. */
export function folderOf(pool: Pool): string {
  if ('path' in pool) return pool.path
  throw new Error(`storage pool ${pool.id} has no folder`)
}
