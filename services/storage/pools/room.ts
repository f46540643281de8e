import { ConflictError } from '#shared/errors.ts'
import type { Fill, Usage } from '../drivers/driver.ts'
import { type Placed, requireIdentity, usageOf } from './identity.ts'

const GiB = 2 ** 30

/** The part that stays free: a thin pool that is full stops its guests, one without metadata may be lost. */
const parts: Record<Fill['name'], number> = { space: 0.02, quota: 0.02, data: 0.05, metadata: 0.1 }

/** Bytes that must be available for anything new to be begun; at most 1 GiB, so that large storage pools can be used. */
export const floorOf = ({ name, capacity_bytes }: Fill): number =>
  Math.min(GiB, Math.floor(capacity_bytes * parts[name]))

/** True when less is available than the floor. */
export const isLow = (fill: Fill): boolean => fill.available_bytes < floorOf(fill)

/** Requires that a storage pool is in its place, and not below its floor. @throws ConflictError, NotFoundError, UnavailableError */
export async function requireBeginnable(placed: Placed): Promise<void> {
  await Promise.all([requireIdentity(placed), requireRoom(placed, 0)])
}

/**
 * Requires room before something new is begun in a storage pool.
 * @param needed_bytes that it takes at once; 0 for something that grows later
 * @param known the usage, if it was read just now
 * @throws ConflictError with the numbers
 */
export async function requireRoom(placed: Placed, needed_bytes: number, known?: Usage): Promise<void> {
  const { pool } = placed
  const { available_bytes, fills } = known ?? (await usageOf(placed))
  const low = fills.find(isLow)
  if (low) {
    const floor_bytes = floorOf(low)
    throw new ConflictError(
      `Storage pool '${pool.id}' is nearly full: ${low.available_bytes} bytes of its ${low.name} are left, and nothing new is begun below ${floor_bytes}`,
      { details: { ...low, floor_bytes } },
    )
  }
  if (available_bytes === null || needed_bytes <= available_bytes) return
  throw new ConflictError(
    `Storage pool '${pool.id}' has ${available_bytes} bytes left; the copy takes ${needed_bytes}`,
    { details: { available_bytes, needed_bytes } },
  )
}
