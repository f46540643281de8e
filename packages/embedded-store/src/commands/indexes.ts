import { decode, type Doc, isPlainObject, typeName } from '../values/bson.ts'
import {
  addIndex,
  type Catalog,
  type Collection,
  documentTable,
  dropIndex,
  findCollection,
  getOrCreateCollection,
  type Index,
  keyPattern,
} from '../storage/catalog.ts'
import { checkedDocument } from '../storage/checksum.ts'
import { indexDocument } from '../storage/collection.ts'
import { checkFields, collectionName, type Command, refuse } from '../wire/command.ts'
import { equalValues } from '../values/compare.ts'
import { badValue, CommandError, missingField, wrongType } from '../errors.ts'
import { shellText } from '../values/shell-text.ts'
import { indexSpec } from '../index/index-spec.ts'

/** The properties that make two indexes the same, independent of their names. */
const identity = ({ key, unique, sparse, partialFilterExpression }: Doc): unknown[] => [
  key,
  unique === true,
  sparse === true,
  partialFilterExpression ?? null,
]

/** Checks that the wanted index exists already. @throws CommandError if another index contradicts it */
const exists = ({ indexes }: Collection, spec: Doc): boolean => {
  if (equalValues(spec['key'], { _id: 1 })) return true
  const isSame = ({ spec: other }: Index): boolean => equalValues(identity(other), identity(spec))
  const named = indexes.find(({ name }) => name === spec['name'])
  if (named && isSame(named)) return true
  if (named)
    throw new CommandError(
      86,
      `An existing index has the same name as the requested index. When index names are not specified, they are auto generated and can cause conflicts. Please refer to our documentation. Requested index: ${shellText(spec)}, existing index: ${shellText(named.spec)}`,
    )
  const same = indexes.find(isSame)
  if (same) throw new CommandError(85, `Index already exists with a different name: ${same.name}`)
  return false
}

const build = (catalog: Catalog, collection: Collection, spec: Doc): void => {
  const index = addIndex(catalog, collection, spec)
  const rows = catalog.storage.statement(
    `SELECT rid, doc, crc FROM ${documentTable(collection)} WHERE rid > ? ORDER BY rid LIMIT 500`,
  )
  for (let last = -1; ;) {
    const found = rows.all(last)
    for (const row of found) {
      last = Number(row['rid'])
      const bytes = checkedDocument(collection.namespace, last, row['doc'], row['crc'])
      indexDocument(catalog, collection, index, last, decode(bytes))
    }
    if (found.length === 0) return
  }
}

export const createIndexes = (catalog: Catalog, command: Command): Doc => {
  checkFields(command, ['indexes', 'ignoreUnknownIndexOptions', 'commitQuorum'])
  refuse(command.body, ['commitQuorum', 'ignoreUnknownIndexOptions'])
  const wanted = command.body['indexes']
  if (wanted === undefined) throw missingField('createIndexes.indexes')
  if (!Array.isArray(wanted)) throw wrongType('createIndexes.indexes', typeName(wanted), "type 'array'")
  if (wanted.length === 0) throw badValue('Must specify at least one index to create')
  const specs = (wanted as unknown[]).map(indexSpec)
  const name = collectionName(command)
  const before = findCollection(catalog, command.db, name)
  getOrCreateCollection(catalog, command.db, name)
  const current = (): Collection => findCollection(catalog, command.db, name) as Collection
  for (const spec of specs) if (!exists(current(), spec)) build(catalog, current(), spec)
  const numIndexesBefore = before?.indexes.length ?? 1
  const numIndexesAfter = current().indexes.length
  const made =
    before && numIndexesBefore === numIndexesAfter
      ? { note: 'all indexes already exist' }
      : { createdCollectionAutomatically: before === undefined }
  return { numIndexesBefore, numIndexesAfter, ...made, ok: 1 }
}

const isNames = (wanted: unknown): boolean => Array.isArray(wanted) && wanted.every((name) => typeof name === 'string')

const droppable = ({ indexes }: Collection, wanted: unknown): Index[] => {
  if (wanted === undefined) throw missingField('dropIndexes.index')
  if (typeof wanted !== 'string' && !isPlainObject(wanted) && !isNames(wanted))
    throw wrongType('dropIndexes.index', typeName(wanted), "types '[string, object, array]'")
  if (wanted === '*') return indexes.slice(1)
  if (Array.isArray(wanted)) return (wanted as unknown[]).flatMap((name) => droppable({ indexes } as Collection, name))
  const found = indexes.find((index) =>
    isPlainObject(wanted) ? equalValues(keyPattern(index), wanted) : index.name === wanted,
  )
  if (!found)
    throw new CommandError(
      27,
      isPlainObject(wanted) ? "can't find index with key" : `index not found with name [${String(wanted)}]`,
    )
  if (found.name === '_id_') throw new CommandError(72, 'cannot drop _id index')
  return [found]
}

export const dropIndexes = (catalog: Catalog, command: Command): Doc => {
  checkFields(command, ['index'])
  const name = collectionName(command)
  const collection = findCollection(catalog, command.db, name)
  if (!collection) throw new CommandError(26, `ns not found ${command.db}.${name}`)
  const nIndexesWas = collection.indexes.length
  for (const index of droppable(collection, command.body['index'])) dropIndex(catalog, index)
  const all = command.body['index'] === '*' ? { msg: 'non-_id indexes dropped for collection' } : {}
  return { nIndexesWas, ...all, ok: 1 }
}
