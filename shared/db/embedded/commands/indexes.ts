import { decode, type Doc, isPlainObject, toNumber } from '../bson.ts'
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
} from '../catalog.ts'
import { indexDocument } from '../collection.ts'
import { checkCollation, checkFields, collectionName, type Command, refuse } from '../command.ts'
import { equalValues } from '../compare.ts'
import { badValue, CommandError, notImplemented } from '../errors.ts'
import { parseFilter } from '../matcher.ts'
import { shellText } from '../shell-text.ts'

const SPEC_FIELDS = new Set([
  'key',
  'name',
  'unique',
  'sparse',
  'partialFilterExpression',
  'background',
  'v',
  'collation',
  'ns',
])
const UNSUPPORTED = new Set([
  'expireAfterSeconds',
  'hidden',
  'storageEngine',
  'weights',
  'default_language',
  'wildcardProjection',
  'bits',
  'min',
  'max',
  'clustered',
  'prepareUnique',
  '2dsphereIndexVersion',
  'textIndexVersion',
  'language_override',
])
const PARTIAL_OPERATORS = new Set(['$eq', '$exists', '$gt', '$gte', '$lt', '$lte', '$type', '$in'])

const checkKey = (key: unknown): Doc => {
  if (!isPlainObject(key) || Object.keys(key).length === 0)
    throw new CommandError(67, 'Index keys cannot be an empty object')
  if (Object.keys(key).length > 32) throw new CommandError(67, 'Index key pattern too large')
  for (const [path, direction] of Object.entries(key)) {
    if (typeof direction === 'string') throw notImplemented(`An index of the kind '${direction}'`)
    if (path.includes('$**')) throw notImplemented('A wildcard index')
    if (!toNumber(direction))
      throw new CommandError(67, `Values in v:2 index key pattern must be numbers other than 0: {${path}}`)
    if (path.split('.').includes('')) throw new CommandError(67, `Index keys cannot contain an empty field: '${path}'`)
    if (path.startsWith('$'))
      throw new CommandError(67, `Index key contains an illegal field name: field name starts with '$': ${path}`)
  }
  return key
}

const checkPartial = (expression: unknown): void => {
  if (!isPlainObject(expression))
    throw new CommandError(67, "'partialFilterExpression' for an index has to be a document")
  const { predicates, unions, rest } = parseFilter(expression)
  const unknown = predicates.find(({ operator }) => !PARTIAL_OPERATORS.has(operator))
  if (unknown)
    throw new CommandError(67, `Expression not supported in partial index: ${unknown.operator} on ${unknown.path}`)
  if (unions.length > 0 || rest.length > 0)
    throw new CommandError(67, 'Expression not supported in partial index: only $and of simple conditions is')
}

/** The specification as it is kept and listed. */
const normalized = (wanted: Doc): Doc => {
  const key = checkKey(wanted['key'])
  for (const field of Object.keys(wanted)) {
    if (UNSUPPORTED.has(field)) throw notImplemented(`The index option '${field}'`)
    if (!SPEC_FIELDS.has(field))
      throw new CommandError(197, `The field '${field}' is not valid for an index specification.`)
  }
  checkCollation(wanted['collation'])
  if (typeof wanted['name'] !== 'string' || wanted['name'] === '') throw new CommandError(67, 'The index needs a name')
  const spec: Doc = { v: 2, key, name: wanted['name'] }
  if (wanted['unique']) spec['unique'] = true
  if (wanted['sparse']) spec['sparse'] = true
  if (wanted['partialFilterExpression'] !== undefined) {
    checkPartial(wanted['partialFilterExpression'])
    if (spec['sparse']) throw new CommandError(67, 'cannot mix "partialFilterExpression" and "sparse" options')
    spec['partialFilterExpression'] = wanted['partialFilterExpression']
  }
  return spec
}

/** What makes two indexes the same one, whatever their names are. */
const identity = ({ key, unique, sparse, partialFilterExpression }: Doc): unknown[] => [
  key,
  unique === true,
  sparse === true,
  partialFilterExpression ?? null,
]

/** Whether an index like the wanted one is there already; throws when there is one that contradicts it. */
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
    `SELECT rid, doc FROM ${documentTable(collection)} WHERE rid > ? ORDER BY rid LIMIT 500`,
  )
  for (let last = -1; ;) {
    const found = rows.all(last)
    for (const row of found) {
      last = Number(row['rid'])
      indexDocument(catalog, collection, index, last, decode(row['doc'] as Uint8Array))
    }
    if (found.length === 0) return
  }
}

export const createIndexes = (catalog: Catalog, command: Command): Doc => {
  checkFields(command, ['indexes', 'ignoreUnknownIndexOptions', 'commitQuorum'])
  refuse(command.body, ['commitQuorum', 'ignoreUnknownIndexOptions'])
  const wanted = command.body['indexes']
  if (!Array.isArray(wanted) || wanted.length === 0) throw badValue('Must specify at least one index to create')
  const specs = wanted.map((spec) => normalized(spec as Doc))
  const name = collectionName(command)
  const before = findCollection(catalog, command.db, name)
  getOrCreateCollection(catalog, command.db, name)
  const current = (): Collection => findCollection(catalog, command.db, name) as Collection
  for (const spec of specs) if (!exists(current(), spec)) build(catalog, current(), spec)
  const numIndexesBefore = before?.indexes.length ?? 1
  const numIndexesAfter = current().indexes.length
  return {
    numIndexesBefore,
    numIndexesAfter,
    createdCollectionAutomatically: before === undefined,
    ...(numIndexesBefore === numIndexesAfter ? { note: 'all indexes already exist' } : {}),
    ok: 1,
  }
}

const droppable = ({ indexes }: Collection, wanted: unknown): Index[] => {
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
