import { ConflictError } from '#shared/errors.ts'
import { withSafeFiles } from '#shared/nodes/host/files-by-programs.ts'
import { localNode } from '#shared/contracts/common.ts'
import { reach } from '#shared/nodes/nodes.ts'
import type { VolumeDriver } from '../drivers/driver.ts'
import type { ObjectDriver } from '../drivers/objects.ts'
import { driverOf } from '../drivers/drivers.ts'
import { type PoolRecord, poolRecords } from '../models.ts'
import { guarded } from './guard.ts'
import { type Placed, laneOf, ofState, requireIdentity } from './identity.ts'
import { configOf } from './pool-config.ts'

/** A storage pool with its driver, on a host that reaches it. `volumes` are guarded. */
export type OpenPool = Placed & { volumes: VolumeDriver }

/** The node to work on: the wanted one, else the first that reaches the storage pool. @throws ConflictError */
export function nodeFor({ id, nodes }: Pick<PoolRecord, 'id' | 'nodes'>, wanted?: string): string {
  if (nodes === null) return wanted ?? localNode
  if (wanted !== undefined && nodes.includes(wanted)) return wanted
  const [first] = nodes
  if (wanted !== undefined || first === undefined)
    throw new ConflictError(`Storage pool '${id}' is not reached from node '${wanted ?? localNode}'`, {
      details: { nodes },
    })
  return first
}

/** Places a storage pool on this node. */
export async function placeOn(pool: PoolRecord, node: string): Promise<Placed> {
  const { host } = await reach(node)
  return {
    pool,
    config: configOf(pool),
    node,
    host: withSafeFiles(host, laneOf({ pool, node })),
    driver: driverOf(pool),
  }
}

/**
 * Places a storage pool on a node. Of several nodes that reach it, one that answers is taken; all are asked at once, so that
 * a dead node delays nothing.
 * @param wanted must reach it; any that does if not given
 */
export async function place(pool: PoolRecord, wanted?: string): Promise<Placed> {
  const first = nodeFor(pool, wanted)
  const candidates = wanted === undefined && pool.nodes ? pool.nodes : [first]
  if (candidates.length === 1) return placeOn(pool, first)
  const asked = candidates.map(async (node) => {
    const placed = await placeOn(pool, node)
    await requireIdentity(placed, ofState(pool))
    return placed
  })
  return Promise.any(asked).catch((error: AggregateError) => {
    throw error.errors[0]
  })
}

/**
 * Opens a storage pool for work on its volumes.
 * @param node must reach it; any that does if not given
 * @throws NotFoundError, ConflictError for a pool that holds no volumes
 */
export async function openPool(id: string, node?: string): Promise<OpenPool> {
  const placed = await place(await poolRecords.require(id), node)
  const { volumes } = placed.driver
  if (!volumes) throw new ConflictError(`Storage pool '${id}' holds no volumes`)
  return { ...placed, volumes: guarded(volumes, placed) }
}

/** As {@link openPool}. @throws ConflictError for a storage pool that is not active */
export async function openActivePool(id: string, node?: string): Promise<OpenPool> {
  const opened = await openPool(id, node)
  if (opened.pool.state !== 'active') throw new ConflictError(`Storage pool '${id}' is not active`)
  return opened
}

/** A storage pool for work on its objects, which are guarded. */
export type ObjectStore = Placed & { objects: ObjectDriver }

/**
 * Opens a storage pool for work on its objects.
 * @param node must reach it; any that does if not given
 * @throws NotFoundError, ConflictError for a pool that holds no objects
 */
export async function openObjects(id: string, node?: string): Promise<ObjectStore> {
  const placed = await place(await poolRecords.require(id), node)
  const { objects } = placed.driver
  if (!objects) throw new ConflictError(`Storage pool '${id}' holds no objects`)
  return { ...placed, objects: guarded(objects, placed) }
}
