import { UnavailableError } from '#shared/errors.ts'
import { reachAll } from '#shared/nodes/nodes.ts'
import { log } from '#shared/runtime/log.ts'
import { driverOf } from '../drivers/drivers.ts'
import type { PoolRecord } from '../models.ts'
import { answer } from './lanes.ts'
import { laneOf, nameOf } from './identity.ts'
import { placeOn } from './open-pool.ts'

/**
 * Leaves a storage pool on all nodes that reach it, for kinds that a node mounts or logs in to; others have nothing to leave.
 * A node that does not answer is left out.
 * @throws ConflictError when a node still uses it
 */
export async function leave(pool: PoolRecord): Promise<void> {
  const { deactivate } = driverOf(pool)
  if (!deactivate) return
  const nodes = pool.nodes ?? (await reachAll()).map(({ node }) => node.id)
  await Promise.all(
    nodes.map(async (node) => {
      const placed = await placeOn(pool, node)
      const left = answer(laneOf(placed), nameOf(placed), () => deactivate(placed.host, placed.config), {
        withinMs: 30_000,
      })
      await left.catch((error: unknown) => {
        if (!(error instanceof UnavailableError)) throw error
        log('pools').warn({ err: error, pool: pool.id, node }, 'a node could not leave a storage pool')
      })
    }),
  )
}
