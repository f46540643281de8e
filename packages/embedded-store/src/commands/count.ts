import { decode, type Doc, MAX_DOCUMENT_BYTES, toNumber, typeName } from '../values/bson.ts'
import { checkFields, collectionName, type Command } from '../wire/command.ts'
import { naturalNumber, timeLimit } from '../wire/fields.ts'
import { countSelected, planned } from '../query/counting.ts'
import { encodeValue } from '../values/key-encoding.ts'
import { badValue, CommandError, failedToParse, missingField, wrongType } from '../errors.ts'
import { fieldPath } from '../values/field-path.ts'
import { valuesAtPath } from '../values/paths.ts'
import { parseSelection } from '../query/selection.ts'
import { deadlineOf, drain, type Reader } from '../query/reader.ts'
import { type Match, matches } from '../query/scan.ts'

/** Counts the documents that match a selection. */
export const count = async (reader: Reader, command: Command): Promise<Doc> => {
  const { body, db } = command
  checkFields(command, ['query', 'limit', 'skip', 'hint', 'collation', 'fields'])
  const selection = parseSelection({
    filter: body['query'],
    hint: body['hint'],
    collation: body['collation'],
    limited: false,
  })
  const wanted = body['limit'] === undefined ? 0 : toNumber(body['limit'])
  if (wanted === undefined) throw badValue('limit value is not a valid number')
  if (!Number.isInteger(wanted)) throw failedToParse(`Expected an integer: limit: ${wanted}`)
  // a negative one means the same, as for old clients
  const limit = Math.abs(wanted)
  const skip = naturalNumber(body, 'skip') ?? 0
  const target = planned(reader, db, collectionName(command), selection)
  if (!target) return { n: 0, ok: 1 }
  const stopAt = limit > 0 ? limit + skip : Infinity
  const total = await countSelected(reader, target, stopAt, timeLimit(body))
  return { n: Math.max(0, total - skip), ok: 1 }
}

export const distinct = async (reader: Reader, command: Command): Promise<Doc> => {
  const { body, db } = command
  checkFields(command, ['key', 'query', 'hint', 'collation'])
  const path = body['key']
  if (path === undefined) throw missingField('distinct.key')
  if (typeof path !== 'string') throw wrongType('distinct.key', typeName(path), "type 'string'")
  fieldPath(path)
  const selection = parseSelection({
    filter: body['query'],
    hint: body['hint'],
    collation: body['collation'],
    limited: false,
  })
  const target = planned(reader, db, collectionName(command), selection)
  if (!target) return { values: [], ok: 1 }
  const values = new Map<string, { key: Buffer; value: unknown }>()
  let keyBytes = 0
  const add = ({ bytes, doc }: Match): boolean => {
    for (const value of valuesAtPath(doc ?? decode(bytes), path)) {
      const key = encodeValue(value)
      const name = key.toString('latin1')
      if (values.has(name)) continue
      keyBytes += key.length
      if (keyBytes > MAX_DOCUMENT_BYTES) throw new CommandError(17217, 'distinct too big, 16mb cap')
      values.set(name, { key, value })
    }
    return false
  }
  const found = matches(reader.catalog, target.collection, target.plan, { keys: 0, docs: 0 })
  await drain(found, add, deadlineOf(timeLimit(body)))
  const sorted = [...values.values()].sort((a, b) => Buffer.compare(a.key, b.key))
  return { values: sorted.map(({ value }) => value), ok: 1 }
}
