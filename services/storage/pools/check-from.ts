import { isReachedFrom } from '#shared/contracts/storage/pools.ts'
import { AppError } from '#shared/errors.ts'
import { type PoolRecord, poolRecords } from '../models.ts'
import { requireIdentity } from './identity.ts'
import { placeOn } from './open-pool.ts'

/**
 * Checks from a node that each active storage pool that it reaches is in its place, mounted where the kind needs it.
 * @returns the reason for each, null when it is fine; a storage that hangs is answered within 5 seconds
 */
export async function checkFrom(node: string): Promise<{ pool: string; reason: string | null }[]> {
  const reached = (await poolRecords.all({ state: 'active' })).filter((pool) => isReachedFrom(pool, node))
  return Promise.all(reached.map(async (pool) => ({ pool: pool.id, reason: await reasonAgainst(pool, node) })))
}

async function reasonAgainst(pool: PoolRecord, node: string): Promise<string | null> {
  try {
    await requireIdentity(await placeOn(pool, node))
    return null
  } catch (error) {
    if (error instanceof AppError) return error.message
    throw error
  }
}
