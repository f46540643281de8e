import type { Params, Result } from '#shared/contract/contract.ts'
import type { pools } from '#shared/contracts/storage/pools.ts'
import { ConflictError } from '#shared/errors.ts'
import { volumeRecords } from '../models.ts'
import { openPool } from './open-pool.ts'

/**
 * Compares a storage pool with its records, in both directions. Reads only: neither kind of orphan is ever deleted by
 * itself. The records are read before and after the images, so that a volume that is made meanwhile is none.
 */
export async function orphans({ id }: Params<typeof pools, 'orphans'>): Promise<Result<typeof pools, 'orphans'>> {
  const { host, config, volumes } = await openPool(id)
  if (!volumes.list) throw new ConflictError(`Storage pool '${id}' cannot list its images`)
  const before = await volumeRecords.all({ pool: id })
  const { found, skipped } = await volumes.list(host, config)
  const after = await volumeRecords.all({ pool: id })
  const known = new Set([...before, ...after].map(({ name }) => name))
  const stayed = after.filter((record) => !record.deleting && before.some((one) => one.id === record.id))
  const places = await Promise.all(stayed.map((record) => volumes.exists(host, config, record)))
  return {
    images: found
      .filter(({ name }) => !known.has(name))
      .map(({ name, format, size_bytes }) => ({ name, format, size_bytes })),
    volumes: stayed.filter((_, index) => !places[index]).map(({ name, used_by }) => ({ name, used_by })),
    others: skipped,
  }
}
