import type { Params, Result } from '#shared/contract/contract.ts'
import type { Volume } from '#shared/contracts/storage/volumes.ts'
import type { LiveCopy, volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { type VolumeRecord } from '../models.ts'
import { openActivePool, openPool, type OpenPool } from '../pools/open-pool.ts'
import { liveCopiesIn, originalOf } from './copy.ts'
import { finish, register } from './make.ts'
import { requireRoom } from '../pools/room.ts'
import { requireOwned, viewIn, type VolumeSpec } from './records.ts'

type Target = { source: VolumeRecord; opened: OpenPool; spec: VolumeSpec }

/** @throws ConflictError when a storage pool has less space than the copies of all disks take in it */
async function requireRoomForAll(targets: Target[], node?: string): Promise<void> {
  const needed = new Map<string, { opened: OpenPool; bytes: number }>()
  for (const { source, opened, spec } of targets) {
    const from = await openPool(source.pool, node)
    const measured = await from.volumes.copies?.dataBytes(from.host, await originalOf(from, source))
    const bytes = liveCopiesIn(opened).bytesNeeded(spec, measured ?? source.size_bytes)
    needed.set(spec.pool, { opened, bytes: bytes + (needed.get(spec.pool)?.bytes ?? 0) })
  }
  for (const { opened, bytes } of needed.values()) await requireRoom(opened, bytes)
}

/**
 * Prepares for disks that a hypervisor copies itself: writes the record of each volume, and makes an empty image that
 * becomes the volume. Repeated, it makes new images.
 */
export async function openCopyTargets({
  copy,
  source_owner,
  owner,
  disks,
  node,
}: Params<typeof volumesInternal, 'openCopyTargets'>): Promise<Result<typeof volumesInternal, 'openCopyTargets'>> {
  const targets = await Promise.all(
    disks.map(async ({ id, volume, pool, name, format }): Promise<Target> => {
      const source = await requireOwned(id, volume, source_owner)
      const opened = await openActivePool(pool, node)
      return { source, opened, spec: { pool, name, format, size_bytes: source.size_bytes } }
    }),
  )
  await requireRoomForAll(targets, node)
  const images: LiveCopy[] = []
  for (const { opened, spec } of targets) {
    await register(opened, spec, { owner })
    images.push(await liveCopiesIn(opened).open(opened.host, opened.config, spec, copy))
  }
  return { images }
}

/** Makes the filled images volumes. @throws ConflictError when one of these was deleted meanwhile */
export async function commitCopyTargets({
  owner,
  disks,
  node,
}: Params<typeof volumesInternal, 'commitCopyTargets'>): Promise<Result<typeof volumesInternal, 'commitCopyTargets'>> {
  const data: Volume[] = []
  for (const { id, volume, image } of disks) {
    const record = await requireOwned(id, volume, owner)
    const opened = await openActivePool(id, node)
    await liveCopiesIn(opened).commit(opened.host, opened.config, record, image)
    data.push(await viewIn(opened, await finish(opened, record, true)))
  }
  return { data }
}
