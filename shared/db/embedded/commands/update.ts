import { type Doc } from '../bson.ts'
import { type Catalog, findCollection } from '../catalog.ts'
import { findRows, updateRow, upsert } from '../change.ts'
import { checkFields, checkPart, collectionName, type Command, documentList, flag, refuse } from '../command.ts'
import { failedToParse } from '../errors.ts'
import { parseSelection, type Selection } from '../question.ts'
import { checkPipeline } from '../update-pipeline.ts'
import { parseUpdate, type Update } from '../update.ts'
import { checkBatchSize, runStatements, withErrors } from '../write-errors.ts'

const STATEMENT_FIELDS = [
  'q',
  'u',
  'c',
  'multi',
  'upsert',
  'arrayFilters',
  'hint',
  'collation',
  'sort',
  'upsertSupplied',
]

type Statement = { selection: Selection; update: Update; multi: boolean; upsert: boolean }

const parseStatement = (statement: Doc): Statement => {
  refuse(statement, ['c', 'upsertSupplied'])
  const update = parseUpdate(statement['u'], statement['arrayFilters'])
  const multi = flag(statement, 'multi')
  if (multi && update.replaces) throw failedToParse('multi update is not supported for replacement-style update')
  if (multi && statement['sort'] !== undefined) throw failedToParse('Cannot specify sort with multi=true')
  return {
    selection: parseSelection({
      filter: statement['q'],
      sort: statement['sort'],
      hint: statement['hint'],
      collation: statement['collation'],
      limited: !multi,
    }),
    update,
    multi,
    upsert: flag(statement, 'upsert'),
  }
}

type Totals = { n: number; nModified: number; upserted: { index: number; _id: unknown }[] }

const runStatement = (
  catalog: Catalog,
  db: string,
  name: string,
  statement: Statement,
  index: number,
  totals: Totals,
): void => {
  const { selection, update, multi } = statement
  const collection = findCollection(catalog, db, name)
  const rows = collection ? findRows(catalog, collection, selection, multi ? 0 : 1) : []
  for (const rid of rows) {
    const changed = collection && updateRow(catalog, collection, rid, selection.filter, update)
    if (!changed) continue
    totals.n++
    if (changed.modified) totals.nModified++
  }
  if (rows.length > 0 || !statement.upsert) return
  const doc = upsert(catalog, db, name, selection.filter, update)
  totals.n++
  totals.upserted.push({ index, _id: doc['_id'] })
}

export const update = (catalog: Catalog, command: Command): Doc => {
  checkFields(command, ['updates', 'ordered', 'bypassDocumentValidation', 'let'])
  refuse(command.body, ['let'])
  const name = collectionName(command)
  const statements = documentList(command, 'updates')
  checkBatchSize(statements)
  for (const statement of statements) {
    checkPart('update.updates', statement, STATEMENT_FIELDS)
    checkPipeline(statement['u'])
  }
  const ordered = command.body['ordered'] === undefined || flag(command.body, 'ordered')
  const totals: Totals = { n: 0, nModified: 0, upserted: [] }
  const errors = runStatements(statements, ordered, (statement, index) => {
    runStatement(catalog, command.db, name, parseStatement(statement), index, totals)
  })
  const { n, nModified, upserted } = totals
  return { n, nModified, ...(upserted.length > 0 ? { upserted } : {}), ...withErrors(errors), ok: 1 }
}
