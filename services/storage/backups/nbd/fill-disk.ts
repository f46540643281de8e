import type { Objects } from '../store/objects.ts'
import type { Catalog } from '../store/catalog.ts'
import { chunkBytes, type ChunkList, isZero } from '../store/chunks.ts'
import { readChunks, type Unreadable } from '../store/read-chunks.ts'
import { ConflictError } from '#shared/errors.ts'
import type { Nbd } from './client.ts'
import { scanDisk } from './scan-disk.ts'

/** The chunks of a list one by one; null is one of zeros. */
export function spread(list: ChunkList): (string | null)[] {
  return list.flatMap((each) => (typeof each === 'number' ? Array.from({ length: each }, () => null) : [each]))
}

type Filling = { signal: AbortSignal; onProgress: (doneBytes: number, totalBytes: number) => void }

/** @throws ConflictError naming what a backup has lost */
export function lostError(lost: readonly Unreadable[]): ConflictError {
  const [first] = lost
  const where = first?.pack ? `pack ${first.pack} ${first.reason}` : `chunk ${first?.chunk} ${first?.reason}`
  return new ConflictError(`The backup is damaged: ${lost.length} of its chunks cannot be read; ${where}`, {
    details: { chunks: lost.length, packs: [...new Set(lost.flatMap(({ pack }) => pack ?? []))].slice(0, 20) },
  })
}

/** True for the error of a backup that has lost bytes, also after a way over the bus or the journal. */
export const isLost = (error: unknown): error is ConflictError =>
  error instanceof ConflictError && Array.isArray(error.details['packs'])

/** Ranges of zeros of this size are left out of a chunk. */
const blockBytes = 64 * 1024

/** Writes a chunk. @param isEmpty the image has zeros there: those of the chunk are not written, and stay holes */
async function writeChunk(image: Nbd, offset: number, chunk: Buffer, isEmpty: boolean): Promise<void> {
  if (!isEmpty) return image.write(offset, chunk)
  const writing: Promise<void>[] = []
  let from = -1
  for (let at = 0; at <= chunk.length; at += blockBytes) {
    const isHole = at >= chunk.length || isZero(chunk.subarray(at, at + blockBytes))
    if (!isHole && from < 0) from = at
    if (isHole && from >= 0) {
      writing.push(image.write(offset + from, chunk.subarray(from, Math.min(at, chunk.length))))
      from = -1
    }
  }
  if (from >= 0) writing.push(image.write(offset + from, chunk.subarray(from)))
  await Promise.all(writing)
}

/**
 * Gives an image the content of a backup. Chunks that it has already are not written, so that an image which is nearly the
 * same, or was filled in part by an earlier try, is quickly done.
 * @throws ConflictError when a chunk cannot be read
 */
export async function fillDisk(
  image: Nbd,
  { objects, catalog }: { objects: Objects; catalog: Catalog },
  list: ChunkList,
  { signal, onProgress }: Filling,
): Promise<void> {
  const wanted = spread(list)
  const present = spread((await scanDisk(image, { signal, encryption: objects.encryption })).chunks)
  const places = new Map<string, number[]>()
  const holes: number[] = []
  for (const [index, id] of wanted.entries()) {
    if (id === (present[index] ?? null)) continue
    if (id === null) holes.push(index)
    else places.set(id, [...(places.get(id) ?? []), index])
  }
  const sizeOf = (index: number) => Math.min(chunkBytes, image.sizeBytes - index * chunkBytes)
  const total = [...places.values()].flat().reduce((sum, index) => sum + sizeOf(index), 0)
  let done = 0
  // qemu-nbd is told to make holes of zeros.
  for (const index of holes) await image.write(index * chunkBytes, Buffer.alloc(sizeOf(index)))
  const lost: Unreadable[] = []
  await readChunks(objects, catalog, new Set(places.keys()), {
    signal,
    onChunk: async (id, chunk) => {
      for (const index of places.get(id)!)
        await writeChunk(image, index * chunkBytes, chunk, (present[index] ?? null) === null)
      done += chunk.length * places.get(id)!.length
      onProgress(done, total)
    },
    onUnreadable: (unreadable) => void lost.push(unreadable),
  })
  if (lost.length > 0) throw lostError(lost)
}
