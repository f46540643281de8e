import type { Volume } from '#shared/contracts/storage/volumes.ts'
import { ConflictError } from '#shared/errors.ts'
import { isReachedFrom } from '#shared/contracts/storage/pools.ts'
import { volumeRecords } from '../../models.ts'
import { openActivePool, openPool } from '../../pools/open-pool.ts'
import { requireBeginnable } from '../../pools/room.ts'
import { snapshotsIn } from '../../snapshots/records.ts'
import { originalOf } from '../../volumes/copy.ts'
import { growVolume, makeVolume, undoVolume } from '../../volumes/make.ts'
import { requireOwned, volumeId } from '../../volumes/records.ts'
import { replicaPathOf } from '../model.ts'
import type { Place } from './points.ts'
import type { Image } from './send-disk.ts'

/** Requires that replicas can be kept in a storage pool. @throws ConflictError, NotFoundError */
export async function requireTarget(pool: string, node: string): Promise<void> {
  const opened = await openActivePool(pool)
  if (!isReachedFrom(opened.pool, node))
    throw new ConflictError(`Storage pool '${pool}' is not reached from node '${node}'`)
  snapshotsIn(opened)
  await requireBeginnable(opened)
}

/** The name of the volume of a disk. It follows from the replica, and so is found again after a crash. */
export const volumeOf = (replica: string, disk: string) => `${replica}-${disk}`

/** The volume of a disk in a replica: makes it, or grows it with its source. */
export async function ensureVolume(
  { replica, pool, node }: Place,
  disk: { id: string; format: Volume['format']; size_bytes: number },
): Promise<Volume['format']> {
  const [owner, name] = [replicaPathOf(replica), volumeOf(replica, disk.id)]
  const known = await volumeRecords.get(volumeId(pool, name))
  if (!known || known.deleting) {
    const { driver, config } = await openActivePool(pool, node)
    const { formats, default_format } = driver.capabilitiesOf(config)
    const format = formats.includes(disk.format) ? disk.format : default_format
    if (format === null) throw new ConflictError(`No volumes are made in storage pool '${pool}'`)
    await makeVolume({ pool, name, size_bytes: disk.size_bytes, format }, owner, node)
    return format
  }
  await requireOwned(pool, name, owner)
  if (known.size_bytes < disk.size_bytes) await growVolume({ pool, name, size_bytes: disk.size_bytes }, owner)
  return known.format
}

/** The volume of a disk as an image. */
export async function imageOf({ replica, pool, node }: Place, disk: string): Promise<Image> {
  const opened = await openPool(pool, node)
  const record = await requireOwned(pool, volumeOf(replica, disk), replicaPathOf(replica))
  return { host: opened.host, original: await originalOf(opened, record) }
}

/** Deletes the volumes of a replica that no point has: those of disks that the VM has no more. */
export async function dropUnused({ replica, pool }: Place, used: ReadonlySet<string>): Promise<void> {
  const owner = replicaPathOf(replica)
  for (const { name, snapshots = [] } of await volumeRecords.all({ used_by: owner }))
    if (!used.has(name) && snapshots.length === 0) await undoVolume({ pool, name }, owner)
}
