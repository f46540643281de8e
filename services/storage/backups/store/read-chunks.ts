import type { Objects } from './objects.ts'
import type { Catalog, Place } from './catalog.ts'
import { decodeChunk } from './chunks.ts'
import { DamagedPack, keyOfPack } from './pack.ts'
import { NotFoundError } from '#shared/errors.ts'

/** A pack is read whole when at least this share of it is wanted. */
const wholeShare = 0.25

export type Unreadable = { chunk: string; pack: string | null; reason: string }

type Reading = {
  signal: AbortSignal
  /** Gets each chunk once; chunks of a pack come one after the other. */
  onChunk: (id: string, chunk: Buffer) => Promise<void>
  /** Gets each chunk that cannot be read; if it returns, the others are read. */
  onUnreadable: (unreadable: Unreadable) => void
}

/** Chunks by the pack that they are in. Those that are in no pack are unreadable. */
function byPack({ places }: Catalog, wanted: Iterable<string>, onUnreadable: Reading['onUnreadable']) {
  const packs = new Map<string, { id: string; place: Place }[]>()
  for (const id of wanted) {
    const place = places.get(id)
    if (!place) {
      onUnreadable({ chunk: id, pack: null, reason: 'is in no pack of the store' })
      continue
    }
    const inPack = packs.get(place.pack) ?? []
    packs.set(place.pack, inPack)
    inPack.push({ id, place })
  }
  return packs
}

/** Chunks that are worked on at a time: some are decompressed on other threads while one is written. */
const parallel = 3

/**
 * Reads chunks of a store, pack by pack, each pack once. The next pack is read while the chunks of one are worked on: two of
 * them are in memory.
 */
export async function readChunks(
  objects: Objects,
  catalog: Catalog,
  wanted: ReadonlySet<string>,
  { signal, onChunk, onUnreadable }: Reading,
): Promise<void> {
  const packs = [...byPack(catalog, wanted, onUnreadable)]
  /** Begins to read a pack as a whole; null: so little of it is wanted that its chunks are read one by one. */
  const begin = (index: number): Promise<Buffer> | null => {
    const [pack, chunks] = packs[index] ?? []
    if (!pack || !chunks) return null
    const bytes = catalog.packs.get(pack)?.bytes ?? 0
    const wantedBytes = chunks.reduce((sum, { place }) => sum + place.length, 0)
    if (wantedBytes < bytes * wholeShare) return null
    const reading = objects.get(keyOfPack(pack))
    // Its failure is met where its chunks are read, if the work comes so far.
    reading.catch(() => undefined)
    return reading
  }

  let ahead = begin(0)
  for (const [index, [pack, chunks]] of packs.entries()) {
    signal.throwIfAborted()
    const whole = ahead
    ahead = begin(index + 1)
    const readFrame = async ({ offset, length }: Place) =>
      whole ? (await whole).subarray(offset, offset + length) : objects.get(keyOfPack(pack), { offset, length })
    await several(chunks, async ({ id, place }) => {
      signal.throwIfAborted()
      const chunk = await readFrame(place)
        .then((frame) => decodeChunk(frame, { id, size: place.size }, objects.encryption))
        .catch((error: unknown) => {
          if (!(error instanceof DamagedPack) && !(error instanceof NotFoundError)) throw error
          onUnreadable({ chunk: id, pack, reason: error instanceof NotFoundError ? 'is gone' : error.message })
        })
      if (chunk) await onChunk(id, chunk)
    })
  }
}

/** Works on several items at a time, begun in their order. */
async function several<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  let next = 0
  const run = async () => {
    while (next < items.length) await work(items[next++]!)
  }
  await Promise.all(Array.from({ length: parallel }, run))
}
