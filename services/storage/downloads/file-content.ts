import type { VolumeFormat } from '#shared/contracts/storage/pools.ts'
import type { Nbd } from '../backups/nbd/client.ts'
import { clusterBytes, layoutOf, metadataAt, type Qcow2Layout, runAtRank, runsOf } from './qcow2-layout.ts'

/** A file that is read in any order, such as an image in another format than it is stored in. */
export type FileContent = {
  size_bytes: number
  /** Reads bytes that the file has. */
  read: (offset: number, length: number) => Promise<Buffer>
}

/** Bytes of which the ranges are asked at a time: below the 4 GiB of a request. */
const spanBytes = 2 ** 30

/** The ranges of an image that are no holes. */
async function dataRanges(image: Nbd): Promise<{ from: number; to: number }[]> {
  const found: { from: number; to: number }[] = []
  for (let at = 0; at < image.sizeBytes;) {
    const extents = await image.extents(at, Math.min(spanBytes, image.sizeBytes - at))
    // A server must answer at least one range.
    if (extents.length === 0) throw new Error('qemu-nbd tells no ranges of the image')
    for (const { length, isZero } of extents) {
      const to = Math.min(image.sizeBytes, at + length)
      if (!isZero) found.push({ from: at, to })
      at = to
    }
  }
  return found
}

/** Reads a part of one cluster, or of clusters that follow one another in the image too. */
async function piece(image: Nbd, layout: Qcow2Layout, offset: number, length: number): Promise<Buffer> {
  const { at, runs, virtual_bytes } = layout
  const [cluster, within] = [Math.floor(offset / clusterBytes), offset % clusterBytes]
  if (cluster < at.data) return metadataAt(layout, cluster).subarray(within, within + length)
  const rank = cluster - at.data
  const run = runAtRank(runs, rank)
  const from = (run.from + rank - run.rank) * clusterBytes + within
  const bytes = Math.min(length, (run.from + run.count) * clusterBytes - from)
  // The disk may end within its last cluster, which is whole in the file.
  const there = Math.max(0, Math.min(bytes, virtual_bytes - from))
  const data = there > 0 ? await image.read(from, there) : Buffer.alloc(0)
  return there === bytes ? data : Buffer.concat([data, Buffer.alloc(bytes - there)])
}

/** The content of an image as a file of a format. Holes of a raw file are read as zeros; a qcow2 file does not have them. */
export async function fileContent(image: Nbd, format: VolumeFormat): Promise<FileContent> {
  if (format === 'raw') return { size_bytes: image.sizeBytes, read: (offset, length) => image.read(offset, length) }
  const layout = layoutOf(image.sizeBytes, runsOf(await dataRanges(image)))
  return {
    size_bytes: layout.at.end * clusterBytes,
    read: async (offset, length) => {
      const pieces: Buffer[] = []
      for (let at = offset; at < offset + length;) {
        const some = await piece(image, layout, at, Math.min(offset + length - at, length))
        pieces.push(some)
        at += some.length
      }
      return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)
    },
  }
}
