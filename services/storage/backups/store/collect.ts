import { NotFoundError } from '#shared/errors.ts'
import type { Objects } from './objects.ts'
import { addPack, type Catalog, keyOfDamage, type Packed, readCatalog, readDamage, writeIndex } from './catalog.ts'
import { chunksIn, decodeChunk } from './chunks.ts'
import { findGarbage, type Garbage } from './garbage.ts'
import { chunkListsOf, readManifest } from './manifest.ts'
import { DamagedPack, keyOfPack, readTable, trailerBytes } from './pack.ts'
import { packWriter } from './pack-writer.ts'

/** The table of a pack is in its last bytes, unless it has more chunks than these have room for. */
const endBytes = 64 * 1024

/** Reads the table of a pack. @throws DamagedPack, NotFoundError */
export async function readPack(objects: Objects, id: string, bytes: number): Promise<Packed> {
  const range = (length: number) => ({ offset: Math.max(0, bytes - length), length: Math.min(bytes, length) })
  let end = await objects.get(keyOfPack(id), range(endBytes))
  const needed = end.length < trailerBytes ? 0 : end.readUInt32LE(end.length - trailerBytes) + trailerBytes
  if (needed > end.length && needed <= bytes) end = await objects.get(keyOfPack(id), range(needed))
  return { id, bytes, rows: await readTable(id, end, bytes, objects.encryption) }
}

/** Adds the packs that no index has, by their tables. @returns the ids of those that are damaged */
async function completeCatalog(objects: Objects, catalog: Catalog): Promise<Map<string, string>> {
  const damaged = new Map<string, string>()
  const damage = await readDamage(objects)
  for (const [id, bytes] of catalog.stored) {
    if (catalog.packs.has(id)) continue
    try {
      addPack(catalog, await readPack(objects, id, bytes), damage.get(id))
    } catch (error) {
      if (error instanceof DamagedPack) damaged.set(id, error.message)
      else if (!(error instanceof NotFoundError)) throw error
    }
  }
  return damaged
}

/** The chunks of a store, also of packs whose index is lost. */
export async function readWholeCatalog(objects: Objects): Promise<{ catalog: Catalog; damaged: Map<string, string> }> {
  const catalog = await readCatalog(objects)
  return { catalog, damaged: await completeCatalog(objects, catalog) }
}

/** The chunks that all backups of a store need. @throws DamagedPack for a manifest that cannot be read */
export async function neededChunks(objects: Objects): Promise<Set<string>> {
  const needed = new Set<string>()
  for (const { key } of await objects.list('backups/'))
    for (const chunks of chunkListsOf(await readManifest(objects, key)))
      for (const { id } of chunksIn(chunks)) needed.add(id)
  return needed
}

export type Collected = { removed_packs: number; rewritten_packs: number; freed_bytes: number; dead_bytes: number }
type Working = { signal: AbortSignal; onProgress: (done: number, total: number) => void }

const bytesOf = (sizes: Iterable<number>) => [...sizes].reduce((sum, bytes) => sum + bytes, 0)

/** Writes the needed chunks of sparse packs into new ones. @returns the new packs, and the old ones that are damaged */
async function rewrite(objects: Objects, catalog: Catalog, sparse: Garbage['sparse'], { signal, onProgress }: Working) {
  const none = { places: new Map(), packs: new Map(), stored: new Map(), damage: new Map() }
  const fresh: Catalog = { ...none, indexes: [], damaged: [] }
  const writer = packWriter(objects, fresh)
  const damaged: string[] = []
  for (const [index, { pack, chunks }] of sparse.entries()) {
    signal.throwIfAborted()
    const bytes = await objects.get(keyOfPack(pack))
    const rows = new Map(catalog.packs.get(pack)!.rows.map((row) => [row.id, row]))
    try {
      for (const id of chunks) {
        const { offset, length, size } = rows.get(id)!
        const frame = bytes.subarray(offset, offset + length)
        await writer.add(id, await decodeChunk(frame, { id, size }, objects.encryption))
      }
    } catch (error) {
      if (!(error instanceof DamagedPack)) throw error
      damaged.push(pack)
    }
    onProgress(index + 1, sparse.length)
  }
  await writer.finish()
  return { made: [...fresh.packs.values()], damaged }
}

/** Would {@link collect} remove or rewrite any pack? @throws DamagedPack for a manifest that cannot be read */
export async function freesAny(objects: Objects): Promise<boolean> {
  const { catalog } = await readWholeCatalog(objects)
  const { unused, sparse } = findGarbage([...catalog.packs.values()], await neededChunks(objects), new Map())
  return unused.length + sparse.length > 0
}

/**
 * Removes all packs that no backup needs, and writes those anew that are mostly unneeded. Nobody writes to the store
 * meanwhile: the caller holds it. It may be stopped anywhere and begun again: the new index is there before the old ones
 * go, and no index names a pack that is removed. A manifest that cannot be read stops it, because its chunks are unknown.
 */
export async function collect(objects: Objects, working: Working): Promise<Collected> {
  const needed = await neededChunks(objects)
  const { catalog, damaged: unreadable } = await readWholeCatalog(objects)
  const damage = await readDamage(objects)
  const lost = new Map([...damage].map(([pack, { chunks }]) => [pack, new Set(chunks)]))
  const garbage = findGarbage([...catalog.packs.values()], needed, lost)
  const before = bytesOf(catalog.stored.values())
  const { made, damaged } = await rewrite(objects, catalog, garbage.sparse, working)
  working.signal.throwIfAborted()

  const left = [...[...garbage.kept, ...damaged].map((id) => catalog.packs.get(id)!), ...made]
  const index = await writeIndex(objects, left)
  for (const { key } of await objects.list('index/')) if (key !== index) await objects.remove(key)
  const isLeft = new Set(left.map(({ id }) => id))
  const sparse = garbage.sparse.map(({ pack }) => pack)
  // A pack without a table may have the only copy of a chunk that is missing.
  const useless = garbage.missing.length === 0 ? [...unreadable.keys()] : []
  const gone = [...garbage.unused, ...sparse, ...useless].filter((id) => !isLeft.has(id))
  for (const id of gone) {
    await objects.remove(keyOfPack(id))
    await objects.remove(keyOfDamage(id))
  }
  for (const { key } of await objects.list('parts/')) await objects.remove(key)
  const after = bytesOf((await objects.list('packs/')).map(({ size_bytes }) => size_bytes))
  return {
    removed_packs: garbage.unused.length + useless.length,
    rewritten_packs: sparse.length - damaged.length,
    freed_bytes: Math.max(0, before - after),
    dead_bytes: garbage.dead_bytes,
  }
}
