import { type Doc } from '../values/bson.ts'
import { type Catalog, findCollection } from '../storage/catalog.ts'
import { deleteRow, findRows, updateRow, upsert } from '../update/change.ts'
import { checkFields, collectionName, type Command, refuse } from '../wire/command.ts'
import { flag } from '../wire/fields.ts'
import { failedToParse } from '../errors.ts'
import { parseProjection } from '../query/projection.ts'
import { parseSelection, type Selection } from '../query/selection.ts'
import { checkForm, parseUpdate, type Update } from '../update/update.ts'
import { checkUpsertFilter } from '../update/upsert-seed.ts'

const FIELDS = [
  'query',
  'sort',
  'remove',
  'update',
  'new',
  'fields',
  'upsert',
  'arrayFilters',
  'hint',
  'collation',
  'let',
  'bypassDocumentValidation',
]

const checkCombination = (body: Doc): void => {
  const removes = flag(body, 'remove')
  if (removes && body['update'] !== undefined) throw failedToParse('Cannot specify both an update and remove=true')
  if (!removes && body['update'] === undefined) throw failedToParse('Either an update or remove=true must be specified')
  if (removes && flag(body, 'upsert')) throw failedToParse('Cannot specify both upsert=true and remove=true')
  if (removes && flag(body, 'new'))
    throw failedToParse("Cannot specify both new=true and remove=true; 'remove' always returns the deleted document")
}

type Outcome = { value: Doc | undefined; lastErrorObject: Doc }

const removeOne = (catalog: Catalog, command: Command, selection: Selection): Outcome => {
  const collection = findCollection(catalog, command.db, collectionName(command))
  const [rid] = collection ? findRows(catalog, collection, selection, 1) : []
  const value = collection && rid !== undefined ? deleteRow(catalog, collection, rid) : undefined
  return { value, lastErrorObject: { n: value ? 1 : 0 } }
}

const updateOne = (catalog: Catalog, command: Command, selection: Selection, update: Update): Outcome => {
  const { db, body } = command
  const name = collectionName(command)
  const collection = findCollection(catalog, db, name)
  const [rid] = collection ? findRows(catalog, collection, selection, 1) : []
  if (collection && rid !== undefined) {
    const changed = updateRow(catalog, collection, rid, selection.filter, update)
    const value = flag(body, 'new') ? changed?.after : changed?.before
    return { value, lastErrorObject: { n: 1, updatedExisting: true } }
  }
  if (!flag(body, 'upsert')) return { value: undefined, lastErrorObject: { n: 0, updatedExisting: false } }
  const doc = upsert(catalog, db, name, selection.filter, update)
  const value = flag(body, 'new') ? doc : undefined
  return { value, lastErrorObject: { n: 1, updatedExisting: false, upserted: doc['_id'] } }
}

export const findAndModify = (catalog: Catalog, command: Command): Doc => {
  const { body } = command
  checkFields(command, FIELDS)
  refuse(body, ['let'])
  checkCombination(body)
  // MongoDB finds the mistakes of the update before those of the query
  if (body['update'] !== undefined) checkForm(body['update'])
  const update = flag(body, 'remove') ? undefined : parseUpdate(body['update'], body['arrayFilters'])
  if (flag(body, 'upsert')) checkUpsertFilter(body['query'])
  const selection = parseSelection({
    filter: body['query'],
    sort: body['sort'],
    hint: body['hint'],
    collation: body['collation'],
    limited: true,
  })
  const project = parseProjection(body['fields'])
  const { value, lastErrorObject } = update
    ? updateOne(catalog, command, selection, update)
    : removeOne(catalog, command, selection)
  return { lastErrorObject, value: value ? (project ? project(value) : value) : null, ok: 1 }
}
