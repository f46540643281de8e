import { NotFoundError } from '#shared/errors.ts'
import type { Objects } from '../store/objects.ts'
import { type Catalog, keyOfDamage, readDamage } from '../store/catalog.ts'
import { chunksIn } from '../store/chunks.ts'
import { readWholeCatalog } from '../store/collect.ts'
import { chunkListsOf, type Manifest, readManifest } from '../store/manifest.ts'
import { DamagedPack } from '../store/pack.ts'
import { readChunks, type Unreadable } from '../store/read-chunks.ts'

/** The result of a check; `error` null: nothing is wrong. */
export type Found = { error: string | null; manifest: Manifest | null; chunks: Set<string>; catalog: Catalog }

export const named = (lost: readonly Unreadable[]): string => {
  const [first] = lost
  return first?.pack ? `pack ${first.pack} ${first.reason}` : `chunk ${first?.chunk} ${first?.reason}`
}

/** Every chunk of a manifest, each once. */
export const chunksOf = (manifest: Manifest): Set<string> =>
  new Set(chunkListsOf(manifest).flatMap((chunks) => [...chunksIn(chunks)].map(({ id }) => id)))

/** Checks that the manifest of a backup is as it was written, and that the store has all its chunks. Reads no chunk. */
export async function checkStructure(objects: Objects, key: string, sha256: string): Promise<Found> {
  const { catalog, damaged } = await readWholeCatalog(objects)
  try {
    const manifest = await readManifest(objects, key, sha256)
    const chunks = chunksOf(manifest)
    const missing = [...chunks].filter((id) => !catalog.places.has(id))
    const packs = [...damaged].map(([id, reason]) => `pack ${id} ${reason}`).slice(0, 5)
    const why = packs.length > 0 ? `; in the store, ${packs.join(', ')}` : ''
    const error =
      missing.length === 0 ? null : `${missing.length} of its ${chunks.size} chunks are in no readable pack${why}`
    return { error, manifest, chunks, catalog }
  } catch (failure) {
    if (!(failure instanceof DamagedPack) && !(failure instanceof NotFoundError)) throw failure
    const error = failure instanceof NotFoundError ? 'its manifest is gone' : failure.message
    return { error, manifest: null, chunks: new Set(), catalog }
  }
}

/** Notes damage in the store: backups that are made later store these chunks again, and then this backup is whole as well. */
export async function noteDamage(objects: Objects, lost: readonly Unreadable[]): Promise<void> {
  const known = await readDamage(objects)
  for (const pack of new Set(lost.flatMap((each) => each.pack ?? []))) {
    const own = lost.filter((each) => each.pack === pack)
    const chunks = [...new Set([...(known.get(pack)?.chunks ?? []), ...own.map(({ chunk }) => chunk)])]
    await objects.put(keyOfDamage(pack), Buffer.from(JSON.stringify({ chunks, reason: own[0]!.reason })))
  }
}

type Working = { signal: AbortSignal; onProgress: (done: number, total: number) => void }

/** Reads chunks, decompresses them and compares each with its id. @returns those that are damaged or missing */
export async function readAndCompare(
  objects: Objects,
  catalog: Catalog,
  chunks: ReadonlySet<string>,
  { signal, onProgress }: Working,
): Promise<Unreadable[]> {
  const lost: Unreadable[] = []
  let done = 0
  await readChunks(objects, catalog, chunks, {
    signal,
    onChunk: async () => onProgress(++done, chunks.size),
    onUnreadable: (unreadable) => void lost.push(unreadable),
  })
  return lost
}

/** Reads chunks as {@link readAndCompare}, and notes the damage in the store. @returns it in words; null when there is none */
export async function checkData(
  objects: Objects,
  catalog: Catalog,
  chunks: ReadonlySet<string>,
  working: Working,
): Promise<string | null> {
  const lost = await readAndCompare(objects, catalog, chunks, working)
  if (lost.length === 0) return null
  await noteDamage(objects, lost)
  return `${lost.length} of its ${chunks.size} chunks are damaged: ${named(lost)}`
}
