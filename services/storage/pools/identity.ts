import type { PoolConfig } from '#shared/contracts/storage/pool-kinds.ts'
import { ConflictError, NotFoundError, UnavailableError } from '#shared/errors.ts'
import { withoutTimeLimits } from '#shared/nodes/host/files-by-programs.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import type { PoolDriver, Usage } from '../drivers/driver.ts'
import { type PoolRecord, poolRecords } from '../models.ts'
import { answer } from './lanes.ts'

/** A storage pool on a host of a node that reaches it. */
export type Placed = { pool: PoolRecord; config: PoolConfig; node: string; host: Host; driver: PoolDriver }

export const laneOf = ({ pool, node }: Pick<Placed, 'pool' | 'node'>): string => `${pool.id} ${node}`
export const nameOf = ({ pool, host }: Pick<Placed, 'pool' | 'host'>): string =>
  `Storage pool '${pool.id}' on ${host.describe()}`

/** The identity that is in the place of a storage pool; null for something without. */
async function identityIn({ config, driver, ...placed }: Placed): Promise<string | null> {
  // Never killed: a process that is stuck in dead storage is counted until it ends.
  const host = withoutTimeLimits(placed.host, laneOf(placed))
  return answer(laneOf(placed), nameOf(placed), () => driver.identify(host, config))
}

/** As {@link identityIn}, after an activation when nothing is there. */
async function activated(placed: Placed, withinMs?: number): Promise<string | null> {
  const { driver, host, config } = placed
  const found = await identityIn(placed).catch((error: unknown) => {
    if (driver.activate && withinMs !== 0 && error instanceof NotFoundError) return null
    throw error
  })
  if (found !== null || !driver.activate || withinMs === 0) return found
  await answer(laneOf(placed), nameOf(placed), () => driver.activate!(host, config), { withinMs })
  return identityIn(placed)
}

/**
 * Requires that a storage pool is what it was at its creation: the same folder, dataset or volume group, mounted.
 * Gives one of an earlier version its identity.
 * @throws ConflictError when something else is in its place, NotFoundError when nothing is, UnavailableError within
 *   5 seconds when it does not answer. A mount that takes longer goes on, unless `activationMs` allows it more time;
 *   with 0, nothing is mounted
 */
export async function requireIdentity(placed: Placed, { activationMs }: { activationMs?: number } = {}): Promise<void> {
  const { pool, driver, host, config } = placed
  const found = await activated(placed, activationMs)
  if (pool.identity === undefined) {
    const identity = await driver.create(host, config)
    await poolRecords.updateWhere({ _id: pool.id, identity: null }, { set: { identity } })
    return
  }
  if (found === pool.identity) return
  const why =
    found === null ? 'nothing there is marked as it; is a file system not mounted?' : 'another storage pool is there'
  throw new ConflictError(`${nameOf(placed)} is not in its place, ${pool.place}: ${why}`, {
    details: { expected: pool.identity, found },
  })
}

/** True for the errors of a storage pool that is not in its place, or does not answer. */
export const isAway = (error: unknown): boolean =>
  error instanceof UnavailableError || (error instanceof ConflictError && 'expected' in error.details)

/** Has queries leave a storage pool unmounted that was deactivated. */
export const ofState = ({ state }: Pick<PoolRecord, 'state'>): { activationMs?: number } =>
  state === 'active' ? {} : { activationMs: 0 }

/** Reads the usage. @throws UnavailableError in time when the storage does not answer */
export const usageOf = (placed: Placed): Promise<Usage> =>
  answer(laneOf(placed), nameOf(placed), () => placed.driver.usage(placed.host, placed.config))
