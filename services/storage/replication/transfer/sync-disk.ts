import { ConflictError } from '#shared/errors.ts'
import type { Nbd } from '../../backups/nbd/client.ts'
import type { Digests } from '../../backups/nbd/digests.ts'
import { dataChunks, parallel, spanBytes } from '../../backups/nbd/scan-disk.ts'
import { chunkBytes, type ChunkList, digestOf, isZero, pushChunk } from '../../backups/store/chunks.ts'
import { unencrypted } from '../../backups/store/encryption.ts'

type Working = {
  /** Those of both ends, which hash on their own nodes. */
  digests?: { source: Digests; target: Digests } | undefined
  signal: AbortSignal
  /** Waits as long as a limit of the bandwidth asks for. */
  pace: (bytes: number) => Promise<void>
  /** Bytes of the disk that were passed, holes as well. */
  onProgress: (doneBytes: number) => void
}

export type Synced = {
  /** Of the source, and of the target from now on. */
  digest: string
  /** Of the target as it was found. */
  found_digest: string
  data_bytes: number
  sent_bytes: number
  compared_bytes: number
  /** The chunks that were written, with their ids; null: of zeros. */
  written: [index: number, id: string | null][]
}

/** The unit of writing: a chunk of which one byte is different is not written whole. */
const blockBytes = 64 * 1024

/** The ranges of two buffers of one length that are different, in whole blocks. */
export function differingRanges(wanted: Buffer, present: Buffer): { from: number; to: number }[] {
  const found: { from: number; to: number }[] = []
  for (let from = 0; from < wanted.length; from += blockBytes) {
    const to = Math.min(wanted.length, from + blockBytes)
    if (wanted.compare(present, from, to, from, to) === 0) continue
    const last = found.at(-1)
    if (last?.to === from) last.to = to
    else found.push({ from, to })
  }
  return found
}

const zeros = Buffer.alloc(chunkBytes)
const idOf = async (chunk: Buffer) => (isZero(chunk) ? null : unencrypted.idOf(chunk))

/**
 * Makes the first bytes of the target equal to those of the source: reads both, and writes the blocks that are different.
 * Ranges that are holes on both ends are not read. With digests each node hashes the chunks that both ends have, and only those
 * that are different pass through this process. A transfer that was interrupted goes on, since nothing equal is written.
 * @param sizeBytes size of the disk; either image may be larger, since some storage rounds up
 */
export async function syncDisk(source: Nbd, target: Nbd, sizeBytes: number, working: Working): Promise<Synced> {
  const { signal, pace, onProgress, digests } = working
  for (const [name, image] of Object.entries({ source, target }))
    if (image.sizeBytes < sizeBytes)
      throw new ConflictError(`The ${name} has ${image.sizeBytes} bytes, and the disk ${sizeBytes}`)
  const [wanted, found]: [ChunkList, ChunkList] = [[], []]
  const written: Synced['written'] = []
  const sum = { data_bytes: 0, sent_bytes: 0, compared_bytes: 0 }

  const lengthOf = (index: number) => Math.min(chunkBytes, sizeBytes - index * chunkBytes)
  function count(index: number, id: string | null): void {
    sum.compared_bytes += lengthOf(index)
    if (id !== null) sum.data_bytes += lengthOf(index)
  }

  async function syncChunk(index: number, isData: { source: boolean; target: boolean }) {
    const length = lengthOf(index)
    const at = index * chunkBytes
    const read = (image: Nbd, hasData: boolean) => (hasData ? image.read(at, length) : zeros.subarray(0, length))
    if (isData.source) await pace(length)
    const [theirs, ours] = await Promise.all([read(source, isData.source), read(target, isData.target)])
    const ranges = differingRanges(theirs, ours)
    const id = await idOf(theirs)
    const before = ranges.length === 0 ? id : await idOf(ours)
    for (const { from, to } of ranges) {
      await target.write(at + from, theirs.subarray(from, to))
      sum.sent_bytes += to - from
    }
    if (ranges.length > 0) written.push([index, id])
    count(index, id)
    return { id, before }
  }

  for (let from = 0; from < sizeBytes; from += spanBytes) {
    const to = Math.min(sizeBytes, from + spanBytes)
    const [there, here] = await Promise.all([dataChunks(source, from, to), dataChunks(target, from, to)])
    const indexes = [...there.union(here)].toSorted((a, b) => a - b)
    const common = digests ? indexes.filter((index) => there.has(index) && here.has(index)) : []
    const [theirs, ours] = [digests?.source.of(common), digests?.target.of(common)]
    const ids = new Map<number, { id: string | null; before: string | null }>()
    let next = 0
    const work = async () => {
      while (next < indexes.length) {
        signal.throwIfAborted()
        const index = indexes[next++]!
        const [id, before] = await Promise.all([theirs?.get(index), ours?.get(index)])
        if (id !== undefined && id === before) {
          count(index, id)
          ids.set(index, { id, before })
        } else ids.set(index, await syncChunk(index, { source: there.has(index), target: here.has(index) }))
        onProgress(index * chunkBytes)
      }
    }
    await Promise.all(Array.from({ length: parallel }, work))
    for (let index = from / chunkBytes; index < Math.ceil(to / chunkBytes); index++) {
      pushChunk(wanted, ids.get(index)?.id ?? null)
      pushChunk(found, ids.get(index)?.before ?? null)
    }
    onProgress(to)
  }
  return {
    ...sum,
    digest: digestOf(wanted, sizeBytes, unencrypted),
    found_digest: digestOf(found, sizeBytes, unencrypted),
    written,
  }
}

/** Reads the chunks that were written again, on the node of the target if it can. @throws ConflictError for one that does not read as it was written */
export async function verifyWritten(
  target: Nbd,
  sizeBytes: number,
  written: Synced['written'],
  { signal, digests }: { signal: AbortSignal; digests: Digests | null },
): Promise<void> {
  const there = digests?.of(written.map(([index]) => index))
  let next = 0
  const work = async () => {
    while (next < written.length) {
      signal.throwIfAborted()
      const [index, id] = written[next++]!
      const length = Math.min(chunkBytes, sizeBytes - index * chunkBytes)
      const read = there?.get(index) ?? target.read(index * chunkBytes, length).then(idOf)
      if ((await read) === id) continue
      throw new ConflictError(
        `The replica does not read as it was written: its ${length} bytes from ${index * chunkBytes} on are different`,
      )
    }
  }
  await Promise.all(Array.from({ length: parallel }, work))
}
