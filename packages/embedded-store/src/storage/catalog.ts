import { randomUUID } from 'node:crypto'
import { decode, type Doc, encode } from '../values/bson.ts'
import { CommandError } from '../errors.ts'
import { type Filter, parseFilter } from '../query/matcher.ts'
import { catalogChecksum, damaged } from './checksum.ts'
import type { Storage } from './storage.ts'

/** An index as the planner and the writer use it; `spec` is what listIndexes says. */
export type Index = {
  id: number
  name: string
  spec: Doc
  paths: string[]
  directions: (1 | -1)[]
  unique: boolean
  sparse: boolean
  partial: Filter | undefined
  multikey: boolean
}

export type Collection = { id: number; db: string; name: string; uuid: string; namespace: string; indexes: Index[] }

/** All collections. `version` counts the changes of this run of the store. */
export type Catalog = {
  storage: Storage
  version: number
  collections: Map<string, Collection>
  /** When the write command that runs must have ended. */
  deadlineMs: number | undefined
  /** @throws CommandError 50 when the write command that runs has taken longer than its maxTimeMS */
  checkTime: () => void
  /** Reads the catalog again after a rollback, when it was changed since that version. */
  reloadIfChanged: (version: number) => void
}

export const documentTable = (collection: Collection): string => `c${collection.id}`
export const indexTable = (index: Index): string => `i${index.id}`

/** The `_id` index is always the first. */
export const idIndex = (collection: Collection): Index => collection.indexes[0] as Index

export const keyPattern = (index: Index): Doc => index.spec['key'] as Doc

const indexOf = (id: number, spec: Doc, multikey: boolean): Index => ({
  id,
  name: String(spec['name']),
  spec,
  paths: Object.keys(spec['key'] as Doc),
  directions: Object.values(spec['key'] as Doc).map((direction) => (Number(direction) < 0 ? -1 : 1)),
  unique: spec['unique'] === true || id === 0 || spec['name'] === '_id_',
  sparse: spec['sparse'] === true,
  partial: spec['partialFilterExpression'] === undefined ? undefined : parseFilter(spec['partialFilterExpression']),
  multikey,
})

const load = (catalog: Catalog): void => {
  const collections = new Map<string, Collection>()
  const byId = new Map<unknown, Collection>()
  for (const row of catalog.storage.statement('SELECT * FROM collections ORDER BY db, name').all()) {
    const { id, db, name, uuid, crc } = row as { id: number; db: string; name: string; uuid: string; crc: number }
    if (catalogChecksum([id, db, name, uuid]) !== crc) throw damaged(`The catalog entry of ${db}.${name} is damaged`)
    const collection: Collection = { id, db, name, uuid, namespace: `${db}.${name}`, indexes: [] }
    collections.set(collection.namespace, collection)
    byId.set(id, collection)
  }
  for (const row of catalog.storage.statement('SELECT * FROM indexes ORDER BY id').all()) {
    const { id, collection, spec, multikey, crc } = row as {
      id: number
      collection: number
      spec: Uint8Array
      multikey: number
      crc: number
    }
    if (catalogChecksum([id, collection, multikey], spec) !== crc)
      throw damaged(`The catalog entry of index ${id} is damaged`)
    byId.get(collection)?.indexes.push(indexOf(id, decode(spec), multikey === 1))
  }
  catalog.collections = collections
}

export const openCatalog = (storage: Storage): Catalog => {
  const catalog: Catalog = {
    storage,
    version: 0,
    collections: new Map(),
    deadlineMs: undefined,
    checkTime: () => {
      if (catalog.deadlineMs !== undefined && performance.now() > catalog.deadlineMs)
        throw new CommandError(50, 'operation exceeded time limit')
    },
    reloadIfChanged: (version) => {
      if (catalog.version !== version) load(catalog)
    },
  }
  load(catalog)
  return catalog
}

const changed = (catalog: Catalog): void => {
  catalog.version++
  load(catalog)
}

export const findCollection = (catalog: Catalog, db: string, name: string): Collection | undefined =>
  catalog.collections.get(`${db}.${name}`)

/** Refuses what no collection can be called, whether it is there or not. */
export const checkCollectionName = (name: string): void => {
  if (name === '' || name.includes('\0') || name.includes('$') || name.startsWith('.'))
    throw new CommandError(73, `Invalid collection name: '${name}'`)
}

const checkName = (db: string, name: string): void => {
  checkCollectionName(name)
  if (name.startsWith('system.')) throw new CommandError(73, `Invalid system namespace: ${db}.${name}`)
  if (Buffer.byteLength(`${db}.${name}`) > 255)
    throw new CommandError(73, `Fully qualified namespace is too long: ${db}.${name}`)
  if (db === '' || /[/\\. "$*<>:|?\0]/.test(db)) throw new CommandError(73, `Invalid database name: ${db}`)
}

/** Adds an index without its keys. */
export const addIndex = (catalog: Catalog, collection: Collection, spec: Doc): Index => {
  const { storage } = catalog
  const bytes = encode(spec)
  const added = storage
    .statement('INSERT INTO indexes (collection, spec, multikey) VALUES (?, ?, 0)')
    .run(collection.id, bytes)
  const index = indexOf(Number(added.lastInsertRowid), spec, false)
  storage
    .statement('UPDATE indexes SET crc = ? WHERE id = ?')
    .run(catalogChecksum([index.id, collection.id, 0], bytes), index.id)
  // a unique index has its key alone as primary key, so that the file itself cannot hold a duplicate
  const primary = index.unique ? 'key' : 'key, rid'
  storage.db.exec(
    `CREATE TABLE ${indexTable(index)} (key BLOB NOT NULL, rid INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (${primary})) STRICT, WITHOUT ROWID`,
  )
  changed(catalog)
  return index
}

/** Makes a collection with its `_id` index; the caller has seen that it does not exist. */
export const createCollection = (catalog: Catalog, db: string, name: string): Collection => {
  checkName(db, name)
  const { storage } = catalog
  const uuid = randomUUID()
  const added = storage.statement('INSERT INTO collections (db, name, uuid) VALUES (?, ?, ?)').run(db, name, uuid)
  const id = Number(added.lastInsertRowid)
  storage.statement('UPDATE collections SET crc = ? WHERE id = ?').run(catalogChecksum([id, db, name, uuid]), id)
  storage.db.exec(`CREATE TABLE c${id} (rid INTEGER PRIMARY KEY, doc BLOB NOT NULL, crc INTEGER NOT NULL) STRICT`)
  const collection: Collection = { id, db, name, uuid: '', namespace: `${db}.${name}`, indexes: [] }
  addIndex(catalog, collection, { v: 2, key: { _id: 1 }, name: '_id_' })
  return findCollection(catalog, db, name) as Collection
}

export const getOrCreateCollection = (catalog: Catalog, db: string, name: string): Collection =>
  findCollection(catalog, db, name) ?? createCollection(catalog, db, name)

export const dropIndex = (catalog: Catalog, index: Index): void => {
  catalog.storage.db.exec(`DROP TABLE ${indexTable(index)}`)
  catalog.storage.statement('DELETE FROM indexes WHERE id = ?').run(index.id)
  changed(catalog)
}

export const dropCollection = (catalog: Catalog, collection: Collection): void => {
  for (const index of collection.indexes) catalog.storage.db.exec(`DROP TABLE ${indexTable(index)}`)
  catalog.storage.db.exec(`DROP TABLE ${documentTable(collection)}`)
  catalog.storage.statement('DELETE FROM indexes WHERE collection = ?').run(collection.id)
  catalog.storage.statement('DELETE FROM collections WHERE id = ?').run(collection.id)
  changed(catalog)
}

/** Notes that a document has more than one key in an index: from now on its bounds are chosen with care. */
export const markMultikey = (catalog: Catalog, index: Index): void => {
  const { storage } = catalog
  index.multikey = true
  const row = storage.statement('SELECT collection, spec FROM indexes WHERE id = ?').get(index.id)
  const crc = catalogChecksum([index.id, Number(row?.['collection']), 1], row?.['spec'] as Uint8Array)
  storage.statement('UPDATE indexes SET multikey = 1, crc = ? WHERE id = ?').run(crc, index.id)
  changed(catalog)
}
