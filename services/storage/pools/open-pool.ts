import type { PoolConfig } from '#shared/contracts/storage/pool-kinds.ts'
import { ConflictError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { localNode } from '#shared/contracts/common.ts'
import { reach } from '#shared/nodes/nodes.ts'
import type { PoolDriver, VolumeDriver } from '../drivers/driver.ts'
import { driverOf } from '../drivers/drivers.ts'
import { type PoolRecord, poolRecords } from '../models.ts'

/** A storage pool with its driver, on a host that reaches it. */
export type OpenPool = { pool: PoolRecord; config: PoolConfig; host: Host; driver: PoolDriver; volumes: VolumeDriver }

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

/**
 * Opens a storage pool for work on its volumes.
 * @param node must reach it; any that does if not given
 * @throws NotFoundError, ConflictError for a pool that holds no volumes
 */
export async function openPool(id: string, node?: string): Promise<OpenPool> {
  const pool = await poolRecords.require(id)
  const driver = driverOf(pool)
  if (!driver.volumes) throw new ConflictError(`Storage pool '${id}' holds no volumes`)
  const { host } = await reach(nodeFor(pool, node))
  return { pool, config: pool.config, host, driver, volumes: driver.volumes }
}

/** As {@link openPool}. @throws ConflictError for a storage pool that is not active */
export async function openActivePool(id: string, node?: string): Promise<OpenPool> {
  const opened = await openPool(id, node)
  if (opened.pool.state !== 'active') throw new ConflictError(`Storage pool '${id}' is not active`)
  return opened
}
