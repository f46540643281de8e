import { ObjectId } from 'bson'
import { decode, type Doc, encode, setField } from '../values/bson.ts'
import { type Catalog, type Collection, getOrCreateCollection } from '../storage/catalog.ts'
import { deleteDocument, insertDocument, readDocument, replaceDocument } from '../storage/collection.ts'
import { equalValues } from '../values/compare.ts'
import { checkId } from './document-id.ts'
import { CommandError } from '../errors.ts'
import type { Filter } from '../query/matcher.ts'
import type { MatchContext } from '../values/paths.ts'
import { planSelection, type Selection } from '../query/selection.ts'
import { seed } from './upsert-seed.ts'
import { orderedMatches } from '../query/ordered.ts'
import { shellText } from '../values/shell-text.ts'
import type { Update } from './update.ts'

/** The row numbers that a selection finds; all of them before the first change, so that a change is not found again. */
export const findRows = (catalog: Catalog, collection: Collection, selection: Selection, limit: number): number[] => {
  const { filter, sort } = selection
  const plan = planSelection(catalog, collection, selection)
  const rows: number[] = []
  const query = { filter, sort, skip: 0, limit, project: undefined }
  for (const match of orderedMatches(catalog, collection, plan, query, { keys: 0, docs: 0 }))
    if (match) rows.push(match.rid)
    else catalog.checkTime()
  return rows
}

export type Changed = { before: Doc; after: Doc; modified: boolean }

const checkSameId = (before: Doc, after: Doc): void => {
  if (!Object.hasOwn(after, '_id') || !equalValues(before['_id'], after['_id']))
    throw new CommandError(66, "Performing an update on the path '_id' would modify the immutable field '_id'")
}

/** Updates one document; undefined when it is gone. */
export const updateRow = (
  catalog: Catalog,
  collection: Collection,
  rid: number,
  filter: Filter,
  update: Update,
): Changed | undefined => {
  const bytes = readDocument(catalog, collection, rid)
  if (!bytes) return undefined
  const before = decode(bytes)
  const context: MatchContext = {}
  filter.test(before, context)
  const after = update.apply(before, { arrayIndex: context.arrayIndex, inserting: false })
  checkSameId(before, after)
  const newBytes = encode(after)
  const modified = !newBytes.equals(bytes) || update.countsAlways(before)
  if (modified) replaceDocument(catalog, collection, rid, before, after, newBytes)
  return { before, after, modified }
}

/** Deletes one document and gives it back. */
export const deleteRow = (catalog: Catalog, collection: Collection, rid: number): Doc | undefined => {
  const bytes = readDocument(catalog, collection, rid)
  if (!bytes) return undefined
  const doc = decode(bytes)
  deleteDocument(catalog, collection, rid, doc)
  return doc
}

/** Inserts the document that an upsert makes; throws 11000. */
export const upsert = (catalog: Catalog, db: string, name: string, filter: Filter, update: Update): Doc => {
  const start = seed(filter, update.kind === 'document')
  const made = update.apply(start, { arrayIndex: undefined, inserting: true })
  if (Object.hasOwn(start, '_id') && !equalValues(start['_id'], made['_id']))
    throw new CommandError(
      66,
      `Performing an update on the path '_id' would modify the immutable field '_id': ${shellText(made['_id'])}`,
    )
  const doc: Doc = { _id: Object.hasOwn(made, '_id') ? made['_id'] : new ObjectId() }
  for (const key of Object.keys(made)) if (key !== '_id') setField(doc, key, made[key])
  checkId(doc['_id'], update.kind !== 'operators')
  const collection = getOrCreateCollection(catalog, db, name)
  insertDocument(catalog, collection, doc, encode(doc))
  return doc
}
