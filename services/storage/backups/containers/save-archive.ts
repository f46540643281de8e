import type { Objects } from '../store/objects.ts'
import { readCatalog } from '../store/catalog.ts'
import { digestOf } from '../store/chunks.ts'
import { cut, gearOf } from '../store/cut.ts'
import { packWriter, type Stored } from '../store/pack-writer.ts'
import { withEntries } from './entries.ts'

/** Chunks that are hashed and compressed at a time, beside the one that is read. */
const parallel = 3
/** Lines of the index that are joined before they are cut. */
const lineBytes = 256 * 1024

type Saving = {
  signal: AbortSignal
  pace: (bytes: number) => Promise<void>
  onProgress: (doneBytes: number) => void
}
export type SavedArchive = {
  size_bytes: number
  entries: number
  digest: string
  chunks: string[]
  chunk_sizes: number[]
  index_chunks: string[]
} & Pick<Stored, 'new_bytes' | 'stored_bytes' | 'healed_chunks'>

/** Stores the chunks of a stream, some at a time. @returns their ids and sizes in order, and the bytes of all */
async function store(
  chunks: AsyncIterable<Buffer>,
  { encryption }: Objects,
  writer: ReturnType<typeof packWriter>,
  { signal, pace, onProgress }: Saving,
): Promise<{ ids: string[]; sizes: number[]; bytes: number }> {
  const ids: string[] = []
  const sizes: number[] = []
  const open = new Set<Promise<void>>()
  let failure: { error: unknown } | undefined
  let bytes = 0
  for await (const chunk of chunks) {
    signal.throwIfAborted()
    await pace(chunk.length)
    const index = ids.push('') - 1
    bytes += chunk.length
    sizes.push(chunk.length)
    const work = async () => {
      const id = await encryption.idOf(chunk)
      ids[index] = id
      await writer.add(id, chunk)
    }
    const tracked: Promise<void> = work()
      .catch((error: unknown) => void (failure ??= { error }))
      .finally(() => open.delete(tracked))
    open.add(tracked)
    while (open.size >= parallel) await Promise.race(open)
    if (failure) throw failure.error
    onProgress(bytes)
  }
  await Promise.all(open)
  if (failure) throw failure.error
  return { ids, sizes, bytes }
}

async function* joined(lines: readonly string[]): AsyncGenerator<Buffer> {
  let text = ''
  for (const line of lines) {
    text += line
    if (text.length < lineBytes) continue
    yield Buffer.from(text)
    text = ''
  }
  yield Buffer.from(text)
}

/**
 * Stores a tar archive as chunks, and an index of its entries.
 * @throws UnreadableArchiveError when it breaks off
 */
export async function saveArchive(
  objects: Objects,
  source: AsyncIterable<Buffer>,
  saving: Saving,
): Promise<SavedArchive> {
  const writer = packWriter(objects, await readCatalog(objects))
  const gear = await gearOf(objects.encryption)
  const lines: string[] = []
  const archive = withEntries(source, (entry) => void lines.push(`${JSON.stringify(entry)}\n`))
  const { ids: chunks, sizes: chunk_sizes, bytes } = await store(cut(archive, gear), objects, writer, saving)
  const quiet = { ...saving, pace: async () => undefined, onProgress: () => undefined }
  const { ids: index_chunks } = await store(cut(joined(lines), gear), objects, writer, quiet)
  const { new_bytes, stored_bytes, healed_chunks } = await writer.finish()
  return {
    size_bytes: bytes,
    entries: lines.length,
    digest: digestOf(chunks, 0, objects.encryption),
    chunks,
    chunk_sizes,
    index_chunks,
    new_bytes,
    stored_bytes,
    healed_chunks,
  }
}
