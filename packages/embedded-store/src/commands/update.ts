import type { Doc } from '../values/bson.ts'
import { type Catalog, findCollection } from '../storage/catalog.ts'
import { findRows, updateRow, upsert } from '../update/change.ts'
import { checkFields, checkPart, collectionName, type Command, documentList, refuse } from '../wire/command.ts'
import { checkObject, checkRequired, flag, strictFlag } from '../wire/fields.ts'
import { failedToParse } from '../errors.ts'
import { parseSelection, type Selection } from '../query/selection.ts'
import { checkForm, parseUpdate, type Update } from '../update/update.ts'
import { checkUpsertFilter } from '../update/upsert-seed.ts'
import { checkBatchSize, runStatements, withErrors } from './write-errors.ts'

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

/** Refuses the whole command for a statement that is none. */
const checkStatement = (statement: Doc): void => {
  checkPart('update.updates', statement, STATEMENT_FIELDS)
  checkRequired('update.updates', statement, ['q', 'u'])
  checkObject('update.updates.q', statement['q'])
  for (const field of ['multi', 'upsert']) strictFlag(statement, field, false)
  checkForm(statement['u'])
}

const parseStatement = (statement: Doc): Statement => {
  refuse(statement, ['c', 'upsertSupplied'])
  const update = parseUpdate(statement['u'], statement['arrayFilters'])
  const multi = flag(statement, 'multi')
  if (multi && update.kind === 'document')
    throw failedToParse('multi update is not supported for replacement-style update')
  if (multi && statement['sort'] !== undefined) throw failedToParse('Cannot specify sort with multi=true')
  if (flag(statement, 'upsert')) checkUpsertFilter(statement['q'])
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
  const found = rows.map((rid) => collection && updateRow(catalog, collection, rid, selection.filter, update))
  // only now: a statement that fails on its way counts nothing, although what it has changed stays changed
  totals.n += found.filter((changed) => changed !== undefined).length
  totals.nModified += found.filter((changed) => changed?.modified).length
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
  statements.forEach(checkStatement)
  const ordered = strictFlag(command.body, 'ordered', true)
  const totals: Totals = { n: 0, nModified: 0, upserted: [] }
  const errors = runStatements(statements, ordered, (statement, index) => {
    runStatement(catalog, command.db, name, parseStatement(statement), index, totals)
  })
  const { n, nModified, upserted } = totals
  return { n, nModified, ...(upserted.length > 0 ? { upserted } : {}), ...withErrors(errors), ok: 1 }
}
