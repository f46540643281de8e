import { log } from '#shared/runtime/log.ts'
import { every } from '#shared/runtime/repeat.ts'
import { driverOf } from '../drivers/drivers.ts'
import { poolRecords } from '../models.ts'
import { openObjects } from './open-pool.ts'

const everyMs = 6 * 3_600_000
/** A put that was begun so long ago, or not written since, has no writer any more. Milliseconds. */
const deadAfterMs = 7 * 86_400_000

/** Removes the content of puts whose writer has died, in all active storage pools. One that does not answer waits for the next time. */
async function sweepObjects(nowMs: number): Promise<void> {
  for (const pool of await poolRecords.all({ state: 'active' })) {
    if (!driverOf(pool).objects) continue
    try {
      const { objects, host, config } = await openObjects(pool.id)
      const removed = await objects.sweep(host, config, new Date(nowMs - deadAfterMs))
      if (removed > 0) log('pools').info({ pool: pool.id, removed }, 'unfinished objects were removed')
    } catch (error) {
      log('pools').warn({ err: error, pool: pool.id }, 'unfinished objects could not be removed')
    }
  }
}

/** @returns a function that stops it */
export const sweepObjectsRegularly = (): (() => void) =>
  every(everyMs, () => sweepObjects(Date.now()), { part: 'pools', failed: 'unfinished objects were not removed' })
