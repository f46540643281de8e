import { ConflictError } from '#shared/errors.ts'
import type { ChunkReader } from '../nbd/backup-disk.ts'
import type { ManifestArchive } from '../store/manifest.ts'

/** Chunks that are read before they are asked for. */
const ahead = 2

type Chunks = Pick<ManifestArchive, 'chunks' | 'chunk_sizes'>

/**
 * Reads bytes of an archive.
 * @param to the place behind the last one
 * @throws ConflictError naming the chunk, when one is damaged or gone
 */
export async function* archiveBytes(
  { read }: ChunkReader,
  { chunks, chunk_sizes }: Chunks,
  from = 0,
  to = Infinity,
): AsyncGenerator<Buffer, void> {
  const reading = new Map<number, Promise<Buffer>>()
  const begin = (index: number) => {
    const id = chunks[index]
    if (id === undefined || reading.has(index)) return
    const chunk = read(id)
    // Its failure is thrown when its turn comes.
    chunk.catch(() => undefined)
    reading.set(index, chunk)
  }
  for (let index = 0, at = 0; index < chunks.length && at < to; at += chunk_sizes[index++]!) {
    const size = chunk_sizes[index]!
    if (at + size <= from) continue
    for (let next = index; next <= index + ahead; next++) if (next === index || to === Infinity) begin(next)
    const chunk = await reading.get(index)!
    reading.delete(index)
    if (chunk.length !== size)
      throw new ConflictError('The backup is damaged: a chunk has another length than its manifest says')
    yield chunk.subarray(Math.max(0, from - at), Math.min(size, to - at))
  }
}

/** All of an index of entries, as text. */
export async function indexText(
  { read }: ChunkReader,
  { index_chunks }: Pick<ManifestArchive, 'index_chunks'>,
): Promise<string> {
  const parts: Buffer[] = []
  for (const id of index_chunks) parts.push(await read(id))
  return Buffer.concat(parts).toString('utf8')
}
