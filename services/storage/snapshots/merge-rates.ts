import { Type } from 'typebox'
import { Id, Time } from '#shared/contracts/common.ts'
import { collection } from '#shared/db/collection.ts'
import { now } from '#shared/events/event.ts'

/** Smaller merges tell more of the start of a program than of the storage. */
const leastBytes = 16 * 2 ** 20

/** The rate of the last merge in each storage pool. */
const rates = collection('merge-rates', Type.Object({ id: Id, bytes_per_second: Type.Number(), measured_at: Time }), {
  kind: 'Rate of merges',
})

/** Records the rate of a merge that has just ended. */
export async function noteRate(pool: string, bytes: number, ms: number): Promise<void> {
  if (bytes < leastBytes || ms <= 0) return
  const rate = { bytes_per_second: (bytes * 1000) / ms, measured_at: now() }
  if (!(await rates.updateWhere({ _id: pool }, { set: rate }))) await rates.insert({ id: pool, ...rate })
}

/** Seconds that a merge takes at the rate of the last one; null before the first. */
export async function secondsFor(pool: string, bytes: number): Promise<number | null> {
  if (bytes === 0) return 0
  const known = await rates.get(pool)
  return known ? bytes / known.bytes_per_second : null
}
