import { chunkBytes, type ChunkList, isZero, pushChunk } from '../store/chunks.ts'
import type { Encryption } from '../store/encryption.ts'
import type { Nbd } from './client.ts'

/** Bytes of which the ranges are asked at a time: a multiple of a chunk, below 4 GiB. */
export const spanBytes = 256 * chunkBytes
/** Chunks that are worked on at a time: one is read while others are hashed and compressed on other threads. */
export const parallel = 3

type Scanning = {
  signal: AbortSignal
  /** Of the store, which names the chunks. */
  encryption: Encryption
  /** Waits as long as a limit of the bandwidth asks for. */
  pace?: (bytes: number) => Promise<void>
  /** Gets every chunk that is not of zeros. */
  onChunk?: (id: string, chunk: Buffer) => Promise<unknown>
  /** Bytes of the disk that were passed, holes as well. */
  onProgress?: (doneBytes: number) => void
}

/** The numbers of the chunks of a span that have anything but holes. */
export async function dataChunks(image: Nbd, from: number, to: number): Promise<Set<number>> {
  const found = new Set<number>()
  for (let at = from; at < to;) {
    const extents = await image.extents(at, to - at)
    for (const { length, isZero: isHole } of extents) {
      const end = Math.min(to, at + length)
      if (!isHole) for (let index = Math.floor(at / chunkBytes); index * chunkBytes < end; index++) found.add(index)
      at = end
    }
    // A server must answer at least one range.
    if (extents.length === 0) throw new Error('qemu-nbd tells no ranges of the image')
  }
  return found
}

/**
 * Reads all chunks of an image that are no holes.
 * @returns the whole disk as ids of chunks, and the bytes that are no zeros
 */
export async function scanDisk(
  image: Nbd,
  { signal, encryption, pace, onChunk, onProgress }: Scanning,
): Promise<{ chunks: ChunkList; data_bytes: number }> {
  const { sizeBytes } = image
  const count = Math.ceil(sizeBytes / chunkBytes)
  const chunks: ChunkList = []
  let data_bytes = 0

  async function scanChunk(index: number): Promise<string | null> {
    const length = Math.min(chunkBytes, sizeBytes - index * chunkBytes)
    await pace?.(length)
    const chunk = await image.read(index * chunkBytes, length)
    if (isZero(chunk)) return null
    const id = await encryption.idOf(chunk)
    await onChunk?.(id, chunk)
    data_bytes += length
    return id
  }

  for (let from = 0; from < sizeBytes; from += spanBytes) {
    const to = Math.min(sizeBytes, from + spanBytes)
    const wanted = [...(await dataChunks(image, from, to))].toSorted((a, b) => a - b)
    const ids = new Map<number, string | null>()
    let next = 0
    const work = async () => {
      while (next < wanted.length) {
        signal.throwIfAborted()
        const index = wanted[next++]!
        ids.set(index, await scanChunk(index))
        onProgress?.(index * chunkBytes)
      }
    }
    await Promise.all(Array.from({ length: parallel }, work))
    const last = Math.min(count, Math.ceil(to / chunkBytes))
    for (let index = from / chunkBytes; index < last; index++) pushChunk(chunks, ids.get(index) ?? null)
    onProgress?.(to)
  }
  return { chunks, data_bytes }
}
