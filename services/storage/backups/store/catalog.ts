import { promisify } from 'node:util'
import { zstdCompress, zstdDecompress } from 'node:zlib'
import type { Objects } from './objects.ts'
import { DamagedPack, idOfPackKey, type Row, sha256 } from './pack.ts'

/** The place of a chunk in a store. */
export type Place = Omit<Row, 'id'> & { pack: string }
/** A pack with its rows, and the bytes of its object. */
export type Packed = { id: string; bytes: number; rows: Row[] }

/** The chunks of a store that can be read. */
export type Catalog = {
  places: Map<string, Place>
  /** Every pack that has an index, by id. */
  packs: Map<string, Packed>
  /** Packs in the store by id, with an index or without. */
  stored: Map<string, number>
  /** Keys of the indexes, those that are damaged as well. */
  indexes: string[]
  /** Chunks that a verification has found damaged, by pack. */
  damage: Map<string, Damage>
  /** Words about each index that cannot be read. */
  damaged: string[]
}

const compressing = promisify(zstdCompress)
const decompressing = promisify(zstdDecompress)

/** Packs are looked for by these files; all that they have is in the tables of the packs as well. */
type IndexFile = { packs: { id: string; bytes: number; chunks: [id: string, length: number, size: number][] }[] }

export async function writeIndex(objects: Objects, packs: Iterable<Packed>): Promise<string | null> {
  const file: IndexFile = {
    packs: [...packs].map(({ id, bytes, rows }) => ({
      id,
      bytes,
      chunks: rows.map((row) => [row.id, row.length, row.size]),
    })),
  }
  if (file.packs.length === 0) return null
  const bytes = await compressing(JSON.stringify(file))
  const key = `index/${sha256(bytes)}`
  await objects.put(key, bytes)
  return key
}

/** Reads the packs of an index. @throws Error for one that is damaged */
async function readIndex(objects: Objects, key: string): Promise<Packed[]> {
  const bytes = await objects.get(key)
  if (`index/${sha256(bytes)}` !== key) throw new Error('its content is not what its name says')
  const { packs } = JSON.parse((await decompressing(bytes)).toString('utf8')) as IndexFile
  return packs.map(({ id, bytes: size, chunks }) => {
    let offset = 0
    const rows = chunks.map(([chunk, length, chunkSize]) => {
      const row = { id: chunk, offset, length, size: chunkSize }
      offset += length
      return row
    })
    return { id, bytes: size, rows }
  })
}

/** The key under which the chunks of a pack are noted that are damaged. */
export const keyOfDamage = (pack: string): string => `damaged/${pack}`
export type Damage = { chunks: string[]; reason: string }

const lostNote: Damage = { chunks: [], reason: 'has a note of damage that cannot be read: verify its backups again' }

/** Chunks that a verification has found damaged, by pack. A note that is damaged itself names none. */
export async function readDamage(objects: Objects): Promise<Map<string, Damage>> {
  const found = new Map<string, Damage>()
  for (const { key } of await objects.list('damaged/'))
    try {
      found.set(idOfPackKey(key), JSON.parse((await objects.get(key)).toString('utf8')) as Damage)
    } catch (error) {
      if (!(error instanceof SyntaxError) && !(error instanceof DamagedPack)) throw error
      found.set(idOfPackKey(key), lostNote)
    }
  return found
}

/**
 * Reads which chunks a store has. A pack that is missing, or has another size than its index says, is left out, and so are
 * chunks that were found damaged: a new backup stores these again.
 */
export async function readCatalog(objects: Objects): Promise<Catalog> {
  const [indexes, packs, damage] = await Promise.all([
    objects.list('index/'),
    objects.list('packs/'),
    readDamage(objects),
  ])
  const catalog: Catalog = {
    places: new Map(),
    packs: new Map(),
    stored: new Map(packs.map(({ key, size_bytes }) => [idOfPackKey(key), size_bytes])),
    indexes: indexes.map(({ key }) => key),
    damage,
    damaged: [],
  }
  for (const { key } of indexes) {
    const listed = await readIndex(objects, key).catch((error: unknown) => {
      catalog.damaged.push(`${key} cannot be read: ${(error as Error).message}`)
      return []
    })
    for (const packed of listed) addPack(catalog, packed, damage.get(packed.id))
  }
  return catalog
}

export function addPack(catalog: Catalog, packed: Packed, damage?: Damage): void {
  if (catalog.stored.get(packed.id) !== packed.bytes) return
  catalog.packs.set(packed.id, packed)
  const lost = new Set(damage?.chunks)
  for (const { id, ...place } of packed.rows)
    if (!lost.has(id) && !catalog.places.has(id)) catalog.places.set(id, { ...place, pack: packed.id })
}
