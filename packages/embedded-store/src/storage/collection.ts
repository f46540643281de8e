import type { StatementSync } from 'node:sqlite'
import { asBuffer, type Doc } from '../values/bson.ts'
import {
  type Catalog,
  type Collection,
  documentTable,
  type Index,
  indexTable,
  keyPattern,
  markMultikey,
} from './catalog.ts'
import { CommandError } from '../errors.ts'
import { checkedDocument, rowChecksum } from './checksum.ts'
import { indexKeys, keyValue } from '../index/index-keys.ts'
import { shellText } from '../values/shell-text.ts'

/** The statements of an index, kept with it: to make their text for each key costs as much as to run them. */
type KeyStatements = { find: StatementSync; insert: StatementSync; remove: StatementSync }
const keyStatements = new WeakMap<Index, KeyStatements>()

const statementsOf = ({ storage }: Catalog, index: Index): KeyStatements => {
  const known = keyStatements.get(index)
  if (known) return known
  const table = indexTable(index)
  const made = {
    find: storage.statement(`SELECT rid FROM ${table} WHERE key = ?`),
    insert: storage.statement(`INSERT INTO ${table} (key, rid, crc) VALUES (?, ?, ?)`),
    remove: storage.statement(`DELETE FROM ${table} WHERE key = ? AND rid = ?`),
  }
  keyStatements.set(index, made)
  return made
}

const duplicate = (collection: Collection, index: Index, doc: Doc, key: Buffer): CommandError => {
  const pattern = keyPattern(index)
  const value = keyValue(index, doc, key)
  return new CommandError(
    11000,
    `E11000 duplicate key error collection: ${collection.namespace} index: ${index.name} dup key: ${shellText(value)}`,
    { keyPattern: pattern, keyValue: value },
  )
}

type Change = { index: Index; added: Buffer[]; removed: Buffer[]; multikey: boolean }

const subtract = (keys: Buffer[], others: Buffer[]): Buffer[] =>
  others.length === 0 ? keys : keys.filter((key) => !others.some((other) => other.equals(key)))

const changeOf = (index: Index, before: Doc | undefined, after: Doc | undefined): Change => {
  const old = before ? indexKeys(index, before).keys : []
  const { keys, multikey } = after ? indexKeys(index, after) : { keys: [], multikey: false }
  return { index, added: subtract(keys, old), removed: subtract(old, keys), multikey }
}

/** All keys are checked before the first is written, so a refused document leaves nothing behind. */
const checkUnique = (catalog: Catalog, collection: Collection, { index, added }: Change, doc: Doc): void => {
  if (!index.unique || added.length === 0) return
  const { find } = statementsOf(catalog, index)
  for (const key of added) if (find.get(key) !== undefined) throw duplicate(collection, index, doc, key)
}

const writeKeys = (catalog: Catalog, { index, added, removed, multikey }: Change, rid: number): void => {
  const { insert, remove } = statementsOf(catalog, index)
  for (const key of removed) remove.run(key, rid)
  for (const key of added) insert.run(key, rid, rowChecksum(key, rid))
  if (multikey && !index.multikey) markMultikey(catalog, index)
}

/** Adds a document and its keys; throws 11000. */
export const insertDocument = (catalog: Catalog, collection: Collection, doc: Doc, bytes: Uint8Array): void => {
  const changes = collection.indexes.map((index) => changeOf(index, undefined, doc))
  for (const change of changes) checkUnique(catalog, collection, change, doc)
  const table = documentTable(collection)
  const last = catalog.storage.statement(`SELECT max(rid) AS rid FROM ${table}`).get()
  const rid = Number(last?.['rid'] ?? 0) + 1
  const insert = catalog.storage.statement(`INSERT INTO ${table} (rid, doc, crc) VALUES (?, ?, ?)`)
  insert.run(rid, bytes, rowChecksum(bytes, rid))
  for (const change of changes) writeKeys(catalog, change, rid)
}

/** Puts `after` in the place of `before`; throws 11000. */
export const replaceDocument = (
  catalog: Catalog,
  collection: Collection,
  rid: number,
  before: Doc,
  after: Doc,
  bytes: Uint8Array,
): void => {
  const changes = collection.indexes.map((index) => changeOf(index, before, after))
  for (const change of changes) checkUnique(catalog, collection, change, after)
  catalog.storage
    .statement(`UPDATE ${documentTable(collection)} SET doc = ?, crc = ? WHERE rid = ?`)
    .run(bytes, rowChecksum(bytes, rid), rid)
  for (const change of changes) writeKeys(catalog, change, rid)
}

export const deleteDocument = (catalog: Catalog, collection: Collection, rid: number, doc: Doc): void => {
  for (const index of collection.indexes) writeKeys(catalog, changeOf(index, doc, undefined), rid)
  catalog.storage.statement(`DELETE FROM ${documentTable(collection)} WHERE rid = ?`).run(rid)
}

/** Puts the keys of one document that is there already into a new index; throws 11000. */
export const indexDocument = (catalog: Catalog, collection: Collection, index: Index, rid: number, doc: Doc): void => {
  const change = changeOf(index, undefined, doc)
  checkUnique(catalog, collection, change, doc)
  writeKeys(catalog, change, rid)
}

/** The bytes of one document, or undefined when it is gone. @throws CommandError 301 when they are damaged */
export const readDocument = (catalog: Catalog, collection: Collection, rid: number): Buffer | undefined => {
  const row = catalog.storage.statement(`SELECT doc, crc FROM ${documentTable(collection)} WHERE rid = ?`).get(rid)
  return row && asBuffer(checkedDocument(collection.namespace, rid, row['doc'], row['crc']))
}
