import { ConflictError } from '#shared/errors.ts'
import type { Op } from '#shared/operation/kinds.ts'
import type { OpenPool } from '../../pools/open-pool.ts'
import type { VolumeName } from '../../drivers/driver.ts'
import type { Objects } from '../store/objects.ts'
import { originalOf } from '../../volumes/copy.ts'
import { fillDisk } from '../nbd/fill-disk.ts'
import { withImage } from '../nbd/open-image.ts'
import { scanDisk } from '../nbd/scan-disk.ts'
import { type ChunkList, digestOf } from '../store/chunks.ts'
import { readWholeCatalog } from '../store/collect.ts'
import type { VmManifest } from '../store/manifest.ts'

type Within = { before: number; total: number }

/**
 * Fills a volume, or a head of it that is aside, with a disk of a backup; then reads it again and compares the digest.
 * @throws ConflictError when a chunk cannot be read, or the storage gives back other bytes than were written
 */
export async function restoreImage(
  op: Op,
  objects: Objects,
  disk: VmManifest['disks'][number],
  opened: OpenPool,
  volume: VolumeName,
  { before, total }: Within,
): Promise<void> {
  const { signal } = op
  const { host } = opened
  const original = await originalOf(opened, volume)
  // A store that has lost an index is read by the tables of its packs.
  const { catalog } = await readWholeCatalog(objects)
  const store = { objects, catalog }
  // It was checked when the manifest was read.
  const list = disk.chunks as ChunkList
  const onProgress = (done: number) => op.progress(Math.min(total, before + done), total, 'bytes')
  await withImage(host, original, { isWritten: true, signal }, async (image) => {
    if (image.sizeBytes !== disk.size_bytes)
      throw new ConflictError(
        `Volume '${volume.name}' has ${image.sizeBytes} bytes; disk ${disk.id} of the backup has ${disk.size_bytes}`,
      )
    await fillDisk(image, store, list, { signal, onProgress })
  })
  const { chunks } = await withImage(host, original, { isWritten: false, signal }, (image) =>
    scanDisk(image, { signal, encryption: objects.encryption }),
  )
  const digest = digestOf(chunks, disk.size_bytes, objects.encryption)
  if (digest !== disk.digest)
    throw new ConflictError(
      `Volume '${volume.name}' does not read as it was written: its digest is ${digest}, that of disk ${disk.id} in the backup ${disk.digest}`,
    )
}
