import { UUID } from 'bson'
import { type Doc, encode } from '../values/bson.ts'
import { type Collection, documentTable, findCollection, idIndex, indexTable } from '../storage/catalog.ts'
import { checkFields, collectionName, type Command } from '../wire/command.ts'
import { flag, naturalNumber } from '../wire/fields.ts'
import { CommandError } from '../errors.ts'
import { parseFilter } from '../query/matcher.ts'
import { deadlineOf, firstBatch, type Reader } from '../query/reader.ts'
import { isPlainObject } from '../values/bson.ts'
import { sessionOf } from './find.ts'

function* encoded(docs: Doc[]): Generator<Uint8Array> {
  for (const doc of docs) yield encode(doc)
}

const answer = (reader: Reader, command: Command, namespace: string, docs: Doc[]): Promise<Buffer> => {
  const options = command.body['cursor']
  return firstBatch(reader, encoded(docs), {
    namespace,
    batchSize: isPlainObject(options) ? naturalNumber(options, 'batchSize') : undefined,
    single: false,
    session: sessionOf(command),
    deadline: deadlineOf(undefined),
  })
}

const described = ({ name, uuid, indexes }: Collection, nameOnly: boolean): Doc =>
  nameOnly
    ? { name, type: 'collection' }
    : {
        name,
        type: 'collection',
        options: {},
        info: { readOnly: false, uuid: new UUID(uuid) },
        idIndex: indexes[0]?.spec,
      }

export const listCollections = (reader: Reader, command: Command): Promise<Buffer> => {
  checkFields(command, ['filter', 'nameOnly', 'authorizedCollections', 'cursor'])
  const { test } = parseFilter(command.body['filter'] ?? {})
  const docs = [...reader.catalog.collections.values()]
    .filter(({ db }) => db === command.db)
    .filter((collection) => test(described(collection, false)))
    .map((collection) => described(collection, flag(command.body, 'nameOnly')))
  return answer(reader, command, `${command.db}.$cmd.listCollections`, docs)
}

export const listIndexes = (reader: Reader, command: Command): Promise<Buffer> => {
  checkFields(command, ['cursor'])
  const name = collectionName(command)
  const collection = findCollection(reader.catalog, command.db, name)
  if (!collection) throw new CommandError(26, `ns does not exist: ${command.db}.${name}`)
  const docs = collection.indexes.map(({ spec }) => spec)
  return answer(reader, command, `${command.db}.${name}`, docs)
}

type Size = { count: number; bytes: number }

const sizeOf = (reader: Reader, collection: Collection): Size => {
  const { storage } = reader.catalog
  const count = storage.statement(`SELECT count(*) AS n FROM ${indexTable(idIndex(collection))}`).get()?.['n']
  const bytes = storage.statement(`SELECT sum(length(doc)) AS n FROM ${documentTable(collection)}`).get()?.['n']
  return { count: Number(count), bytes: Number(bytes ?? 0) }
}

export const listDatabases = (reader: Reader, command: Command): Doc => {
  checkFields(command, ['filter', 'nameOnly', 'authorizedDatabases'])
  if (command.db !== 'admin') throw new CommandError(13, 'listDatabases may only be run against the admin database.')
  const { test } = parseFilter(command.body['filter'] ?? {})
  const nameOnly = flag(command.body, 'nameOnly')
  const sizes = new Map<string, number>()
  for (const collection of reader.catalog.collections.values())
    sizes.set(collection.db, (sizes.get(collection.db) ?? 0) + (nameOnly ? 0 : sizeOf(reader, collection).bytes))
  const all = [...sizes].map(([name, bytes]) => ({ name, sizeOnDisk: bytes, empty: false }))
  const databases = all.filter((database) => test(database))
  const totalSize = databases.reduce((sum, { sizeOnDisk }) => sum + sizeOnDisk, 0)
  return nameOnly ? { databases: databases.map(({ name }) => ({ name })), ok: 1 } : { databases, totalSize, ok: 1 }
}

export const collStats = (reader: Reader, command: Command): Doc => {
  checkFields(command, ['scale'])
  const name = collectionName(command)
  const collection = findCollection(reader.catalog, command.db, name)
  const { count, bytes } = collection ? sizeOf(reader, collection) : { count: 0, bytes: 0 }
  const avgObjSize = count > 0 ? Math.floor(bytes / count) : 0
  return {
    ns: `${command.db}.${name}`,
    size: bytes,
    count,
    avgObjSize,
    nindexes: collection?.indexes.length ?? 0,
    ok: 1,
  }
}

export const dbStats = (reader: Reader, command: Command): Doc => {
  checkFields(command, ['scale', 'freeStorage'])
  const collections = [...reader.catalog.collections.values()].filter(({ db }) => db === command.db)
  const sizes = collections.map((collection) => sizeOf(reader, collection))
  return {
    db: command.db,
    collections: collections.length,
    objects: sizes.reduce((sum, { count }) => sum + count, 0),
    dataSize: sizes.reduce((sum, { bytes }) => sum + bytes, 0),
    indexes: collections.reduce((sum, { indexes }) => sum + indexes.length, 0),
    ok: 1,
  }
}
