import { decode, type Doc } from '../bson.ts'
import { type Collection, findCollection, idIndex, indexTable } from '../catalog.ts'
import { checkFields, collectionName, type Command, naturalNumber } from '../command.ts'
import { encodeValue } from '../key-encoding.ts'
import { CommandError } from '../errors.ts'
import { valuesAtPath } from '../paths.ts'
import type { Plan } from '../planner.ts'
import { parseSelection, planSelection, type Selection } from '../question.ts'
import { deadlineOf, drain, read, type Reader } from '../reader.ts'
import { type Match, matches } from '../scan.ts'

type Planned = { collection: Collection; plan: Plan }

const planned = (reader: Reader, db: string, name: string, selection: Selection): Planned | undefined =>
  read(reader, () => {
    const collection = findCollection(reader.catalog, db, name)
    return collection && { collection, plan: planSelection(reader.catalog, collection, selection) }
  })

/** Counts in SQLite where the keys alone are the answer; undefined where documents have to be looked at. */
const countKeys = (reader: Reader, { collection, plan }: Planned): number | undefined => {
  const { storage } = reader.catalog
  if (!plan.residual.always) return undefined
  if (plan.kind === 'collection')
    return Number(storage.statement(`SELECT count(*) AS n FROM ${indexTable(idIndex(collection))}`).get()?.['n'])
  if (plan.index.multikey) return undefined
  const count = storage.statement(`SELECT count(*) AS n FROM ${indexTable(plan.index)} WHERE key >= ? AND key < ?`)
  return plan.ranges.reduce((sum, { lo, hi }) => sum + Number(count.get(lo, hi)?.['n']), 0)
}

const countMatches = async (
  reader: Reader,
  { collection, plan }: Planned,
  stopAt: number,
  maxTimeMs: number | undefined,
): Promise<number> => {
  let n = 0
  const found = matches(reader.catalog, collection, plan, { keys: 0, docs: 0 })
  await drain(reader, found, () => ++n >= stopAt, deadlineOf(maxTimeMs))
  return n
}

/** How many documents match a selection. */
export const count = async (reader: Reader, command: Command): Promise<Doc> => {
  const { body, db } = command
  checkFields(command, ['query', 'limit', 'skip', 'hint', 'collation', 'fields'])
  const selection = parseSelection({
    filter: body['query'],
    hint: body['hint'],
    collation: body['collation'],
    limited: false,
  })
  const limit = Math.abs(Number(body['limit'] ?? 0))
  const skip = naturalNumber(body, 'skip') ?? 0
  const target = planned(reader, db, collectionName(command), selection)
  if (!target) return { n: 0, ok: 1 }
  const stopAt = limit > 0 ? limit + skip : Infinity
  const total =
    read(reader, () => countKeys(reader, target)) ??
    (await countMatches(reader, target, stopAt, naturalNumber(body, 'maxTimeMS')))
  return { n: Math.max(0, Math.min(total, stopAt) - skip), ok: 1 }
}

export const distinct = async (reader: Reader, command: Command): Promise<Doc> => {
  const { body, db } = command
  checkFields(command, ['key', 'query', 'hint', 'collation'])
  const path = body['key']
  if (typeof path !== 'string') throw new CommandError(14, "Field 'key' must be a string")
  const selection = parseSelection({
    filter: body['query'],
    hint: body['hint'],
    collation: body['collation'],
    limited: false,
  })
  const target = planned(reader, db, collectionName(command), selection)
  if (!target) return { values: [], ok: 1 }
  const values = new Map<string, { key: Buffer; value: unknown }>()
  const add = ({ bytes, doc }: Match): boolean => {
    for (const value of valuesAtPath(doc ?? decode(bytes), path)) {
      const key = encodeValue(value)
      const name = key.toString('latin1')
      if (!values.has(name)) values.set(name, { key, value })
    }
    return false
  }
  const found = matches(reader.catalog, target.collection, target.plan, { keys: 0, docs: 0 })
  await drain(reader, found, add, deadlineOf(naturalNumber(body, 'maxTimeMS')))
  const sorted = [...values.values()].sort((a, b) => Buffer.compare(a.key, b.key))
  return { values: sorted.map(({ value }) => value), ok: 1 }
}
