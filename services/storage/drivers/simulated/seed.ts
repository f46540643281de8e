import { fill } from '#shared/db/fill.ts'
import { now } from '#shared/events/event.ts'
import type { PoolType, ShownConfig } from '#shared/contracts/storage/pool-kinds.ts'
import type { VolumeFormat } from '#shared/contracts/storage/pools.ts'
import type { World } from '#shared/nodes/simulated/world.ts'
import { type PoolRecord, poolRecords, type VolumeRecord, volumeRecords } from '../../models.ts'
import { driverOf } from '../drivers.ts'
import { identityIn, imageOf } from './simulated.ts'

export type SeedPool = { id: string; type: PoolType; config: ShownConfig }
export type SeedVolume = { pool: string; name: string; format: VolumeFormat; size_bytes: number; used_by: string }

/** The storage pools and volumes of a simulation, before any service runs. */
export async function seedStorage(
  world: World,
  pools: readonly SeedPool[],
  volumes: readonly SeedVolume[],
): Promise<void> {
  const times = { created_at: now(), updated_at: now() }
  const places = new Map(pools.map((pool) => [pool.id, driverOf(pool).placeOf(pool.config as never)]))
  world.images.addAll(volumes.map(({ pool, name, size_bytes }) => imageOf(places.get(pool)!, name, size_bytes)))
  const poolsSeen = pools.map((pool) => ({
    ...pool,
    name: pool.id,
    nodes: driverOf(pool).nodesOf(pool.config as never),
    place: places.get(pool.id)!,
    identity: identityIn(places.get(pool.id)!),
    state: 'active' as const,
    ...times,
  }))
  await fill<PoolRecord>(poolRecords, poolsSeen)
  const volumesSeen = volumes.map((volume) => ({
    ...volume,
    id: `${volume.pool}/${volume.name}`,
    backing: null,
    ...times,
  }))
  await fill<VolumeRecord>(volumeRecords, volumesSeen)
}
