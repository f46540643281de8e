import type { Host } from '#shared/nodes/host/host.ts'
import type { Op } from '#shared/operation/kinds.ts'
import { withImage } from '../../backups/nbd/open-image.ts'
import { throttle } from '../../backups/nbd/throttle.ts'
import type { Original } from '../../drivers/driver.ts'
import { syncDisk, type Synced, verifyWritten } from './sync-disk.ts'

export type Image = { host: Host; original: Original }
type Sending = {
  from: Image
  to: Image
  sizeBytes: number
  bandwidthMib: number | null
  within: { before: number; total: number }
}
const MiB = 2 ** 20

/**
 * Sends the blocks of an image that another one has different, each image read and written on its own node, and reads what
 * was written again. Both ends are equal then, and `digest` is that of both.
 * @throws ConflictError when the target gives back other bytes than were written
 */
export async function sendDisk(
  op: Pick<Op, 'signal' | 'progress'>,
  { from, to, sizeBytes, bandwidthMib, within }: Sending,
): Promise<Omit<Synced, 'written'>> {
  const { signal } = op
  const pace = throttle(bandwidthMib === null ? undefined : bandwidthMib * MiB, signal)
  const onProgress = (done: number) => op.progress(within.before + done, within.total, 'bytes')
  const how = { signal, digestedBytes: sizeBytes }
  let isHashedThere = false
  const { written, ...synced } = await withImage(
    from.host,
    from.original,
    { ...how, isWritten: false },
    (source, theirs) =>
      withImage(to.host, to.original, { ...how, isWritten: true }, (target, ours) => {
        isHashedThere = ours !== null
        const digests = theirs && ours ? { source: theirs, target: ours } : undefined
        return syncDisk(source, target, sizeBytes, { digests, signal, pace, onProgress })
      }),
  )
  if (written.length > 0)
    await withImage(to.host, to.original, { ...how, isBulk: !isHashedThere, isWritten: false }, (target, digests) =>
      verifyWritten(target, sizeBytes, written, { signal, digests }),
    )
  return synced
}
