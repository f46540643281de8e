import type { Params, Result } from '#shared/contract/contract.ts'
import type { Volume } from '#shared/contracts/storage/volumes.ts'
import type { ForeignDisk, volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { ConflictError } from '#shared/errors.ts'
import { reach } from '#shared/nodes/nodes.ts'
import type { Op } from '#shared/operation/kinds.ts'
import type { Original } from '../drivers/driver.ts'
import { openActivePool } from '../pools/open-pool.ts'
import type { Placed } from '../pools/identity.ts'
import { requireRoom } from '../pools/room.ts'
import { sendDisk } from '../replication/transfer/send-disk.ts'
import { originalOf } from '../volumes/copy.ts'
import { makeVolume } from '../volumes/make.ts'
import { viewIn, type VolumeSpec } from '../volumes/records.ts'
import { dataBytes, imageInfo } from './qemu-img.ts'

type Asked = Params<typeof volumesInternal, 'inspectForeign'>
type Wanted = { foreign: ForeignDisk; target: VolumeSpec; owner: string; node?: string }

const originalAt = ({ path, format }: Pick<ForeignDisk, 'path' | 'format'>): Original => ({
  source: { type: 'file', path },
  format,
})

/**
 * Reads the size of a disk of another system. Its system is trusted with the backing files that it names.
 * @throws ConflictError for one that cannot be read as an image of the format
 */
export async function inspectForeign({
  node,
  path,
  format,
}: Asked): Promise<Result<typeof volumesInternal, 'inspectForeign'>> {
  const { host } = await reach(node)
  return { size_bytes: (await imageInfo(host, path, format)).virtualSize }
}

/**
 * Copies a disk of another system into a new volume: read on its node, written on that of the storage pool, read again
 * there, and compared by the digests of its chunks. An interrupted copy goes on, since only blocks that differ are sent.
 * @throws ConflictError when the disk has another size by now, or the volume does not read as it was written
 */
export async function pullIn(op: Op, { foreign, target, owner, node }: Wanted): Promise<Volume> {
  const { path, format, size_bytes } = foreign
  const { host } = await reach(foreign.node)
  const { virtualSize } = await imageInfo(host, path, format)
  if (virtualSize !== size_bytes)
    throw new ConflictError(`${path} on ${host.describe()} has ${virtualSize} bytes by now, and not ${size_bytes}`)
  const opened = await openActivePool(target.pool, node)
  const isGoingOn = await opened.volumes.exists(opened.host, opened.config, target)
  // A block device tells of no holes: its copy ends at the floor of the storage pool.
  const isFile = (await host.stat(path))?.kind === 'file'
  if (isFile && !isGoingOn) await requireRoom(opened, await dataBytes(host, path, format))
  const record = await makeVolume(target, owner, node)
  const { digest, data_bytes } = await sendDisk(aboveFloor(op, opened), {
    from: { host, original: originalAt(foreign) },
    to: { host: opened.host, original: await originalOf(opened, record) },
    sizeBytes: size_bytes,
    bandwidthMib: null,
    within: { before: 0, total: size_bytes },
  })
  op.log(`${path}: ${data_bytes} of ${size_bytes} bytes are data; both ends have the digest ${digest}`)
  return viewIn(opened, record)
}

const checkEveryBytes = 256 * 2 ** 20

/** The operation of a copy that ends when less is free in its storage pool than the floor: guests in it would stop. */
function aboveFloor(op: Op, opened: Placed): Pick<Op, 'signal' | 'progress'> {
  const control = new AbortController()
  const check = async () => {
    try {
      await requireRoom(opened, 0)
    } catch (error) {
      if (error instanceof ConflictError) control.abort(error)
    }
  }
  let checkedBytes = 0
  return {
    signal: AbortSignal.any([op.signal, control.signal]),
    progress: (done, total, unit) => {
      op.progress(done, total, unit)
      if (done - checkedBytes < checkEveryBytes) return
      checkedBytes = done
      void check()
    },
  }
}
