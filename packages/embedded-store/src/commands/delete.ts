import { type Doc } from '../values/bson.ts'
import { type Catalog, findCollection } from '../storage/catalog.ts'
import { deleteRow, findRows } from '../update/change.ts'
import { checkFields, checkPart, collectionName, type Command, documentList, refuse } from '../wire/command.ts'
import { checkObject, checkRequired, naturalNumber, strictFlag } from '../wire/fields.ts'
import { failedToParse } from '../errors.ts'
import { parseSelection } from '../query/selection.ts'
import { checkBatchSize, runStatements, withErrors } from './write-errors.ts'

const limitOf = (statement: Doc): number => {
  checkPart('delete.deletes', statement, ['q', 'limit', 'hint', 'collation'])
  checkRequired('delete.deletes', statement, ['q', 'limit'])
  checkObject('delete.deletes.q', statement['q'])
  const limit = naturalNumber(statement, 'limit') ?? 0
  if (limit > 1) throw failedToParse(`The limit field in delete objects must be 0 or 1. Got ${limit}`)
  return limit
}

/** The command `delete`; a reserved word in TypeScript. */
export const remove = (catalog: Catalog, command: Command): Doc => {
  checkFields(command, ['deletes', 'ordered', 'let'])
  refuse(command.body, ['let'])
  const name = collectionName(command)
  const ordered = strictFlag(command.body, 'ordered', true)
  let n = 0
  const statements = documentList(command, 'deletes')
  checkBatchSize(statements)
  const limits = statements.map(limitOf)
  const errors = runStatements(statements, ordered, (statement, index) => {
    const limit = limits[index] ?? 0
    const selection = parseSelection({
      filter: statement['q'],
      hint: statement['hint'],
      collation: statement['collation'],
      limited: limit === 1,
    })
    const collection = findCollection(catalog, command.db, name)
    if (!collection) return
    for (const rid of findRows(catalog, collection, selection, limit)) if (deleteRow(catalog, collection, rid)) n++
  })
  return { n, ...withErrors(errors), ok: 1 }
}
