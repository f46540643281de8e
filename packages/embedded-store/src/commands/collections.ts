import { type Doc } from '../values/bson.ts'
import { type Catalog, createCollection, dropCollection, findCollection } from '../storage/catalog.ts'
import { checkCollation, checkFields, collectionName, type Command, refuse } from '../wire/command.ts'
import { CommandError } from '../errors.ts'

const CREATE_OPTIONS = [
  'capped',
  'timeseries',
  'expireAfterSeconds',
  'clusteredIndex',
  'changeStreamPreAndPostImages',
  'size',
  'max',
  'storageEngine',
  'validator',
  'validationLevel',
  'validationAction',
  'indexOptionDefaults',
  'viewOn',
  'pipeline',
  'encryptedFields',
  'temp',
]

export const create = (catalog: Catalog, command: Command): Doc => {
  checkFields(command, [...CREATE_OPTIONS, 'collation', 'autoIndexId', 'idIndex'])
  const name = collectionName(command)
  const isThere = findCollection(catalog, command.db, name) !== undefined
  try {
    refuse(command.body, CREATE_OPTIONS)
    checkCollation(command.body['collation'])
  } catch (error) {
    // no collection of this store has options, so that these are others
    throw isThere
      ? new CommandError(48, `namespace ${command.db}.${name} already exists, but with different options`)
      : error
  }
  // to make what is there already is no error since MongoDB 7
  if (!isThere) createCollection(catalog, command.db, name)
  return { ok: 1 }
}

export const drop = (catalog: Catalog, command: Command): Doc => {
  checkFields(command, [])
  const name = collectionName(command)
  const collection = findCollection(catalog, command.db, name)
  // MongoDB 7 says ok also for a collection that is not there
  if (!collection) return { ok: 1 }
  dropCollection(catalog, collection)
  return { nIndexesWas: collection.indexes.length, ns: collection.namespace, ok: 1 }
}

export const dropDatabase = (catalog: Catalog, command: Command): Doc => {
  checkFields(command, [])
  const collections = [...catalog.collections.values()].filter(({ db }) => db === command.db)
  for (const collection of collections) dropCollection(catalog, collection)
  return { ok: 1 }
}
