import { type Doc, isPlainObject } from '../values/bson.ts'
import { compareValues } from '../values/compare.ts'
import { CommandError, notImplemented } from '../errors.ts'
import { evaluate, evaluateTyped } from '../expressions/expressions.ts'
import { encodeValue } from '../values/key-encoding.ts'
import type { Accumulator, MakeAccumulator } from './accumulator.ts'
import { accumulatorOf } from './aggregate-accumulators.ts'

type Field = { name: string; make: MakeAccumulator }

const parseField = (name: string, value: unknown): Field => {
  const entries = isPlainObject(value) ? Object.entries(value) : []
  const [entry] = entries
  if (!entry || entries.length !== 1)
    throw new CommandError(entries.length > 1 ? 40238 : 40234, `The field '${name}' must be an accumulator object`)
  if (name.includes('.')) throw new CommandError(40235, `The field name '${name}' cannot contain '.'`)
  const [operator, argument] = entry
  if (!operator.startsWith('$')) throw new CommandError(40234, `The field '${name}' must be an accumulator object`)
  if (operator === '$accumulator') throw notImplemented(operator)
  const make = accumulatorOf(operator, argument)
  if (!make) throw new CommandError(15952, `unknown group operator '${operator}'`)
  return { name, make }
}

const MAX_GROUPS = 1_000_000

type Groups = Generator<Doc | null>

type Grouping = { idOf: (doc: Doc) => unknown; fields: Field[] }

/** The documents pass by, only the groups are kept; a document whose id is undefined is left out. */
const grouped = ({ idOf, fields }: Grouping) =>
  function* (input: Groups): Groups {
    const groups = new Map<string, { id: unknown; accumulators: Accumulator[] }>()
    for (const doc of input) {
      if (doc === null) {
        yield null
        continue
      }
      const id = idOf(doc)
      const key = encodeValue(id).toString('latin1')
      let group = groups.get(key)
      if (!group) {
        if (groups.size >= MAX_GROUPS) throw new CommandError(292, `$group makes more than ${MAX_GROUPS} groups`)
        group = { id, accumulators: fields.map(({ make }) => make(id)) }
        groups.set(key, group)
      }
      for (const accumulator of group.accumulators) accumulator.add(doc)
    }
    for (const { id, accumulators } of groups.values())
      yield { _id: id, ...Object.fromEntries(fields.map(({ name }, i) => [name, accumulators[i]?.result()])) }
  }

const fieldsOf = (spec: Doc): Field[] =>
  Object.entries(spec)
    .filter(([name]) => name !== '_id')
    .map(([name, value]) => parseField(name, value))

/** `$group`. */
export const groupDocuments = (argument: unknown): ((input: Groups) => Groups) => {
  if (!isPlainObject(argument)) throw new CommandError(15947, "a group's fields must be specified in an object")
  if (!Object.hasOwn(argument, '_id')) throw new CommandError(15955, 'a group specification must include an _id')
  const fields = fieldsOf(argument)
  const compute = evaluateTyped(argument['_id'])
  return grouped({ idOf: (doc) => compute(doc) ?? null, fields })
}

const boundariesOf = (spec: Doc): unknown[] => {
  const boundaries = spec['boundaries']
  if (!Array.isArray(boundaries) || boundaries.length < 2)
    throw new CommandError(40192, "The $bucket 'boundaries' field must have at least 2 values")
  for (let i = 1; i < boundaries.length; i++)
    if (compareValues(boundaries[i - 1], boundaries[i]) >= 0)
      throw new CommandError(40194, "The 'boundaries' option to $bucket must be sorted")
  return boundaries as unknown[]
}

/** `$bucket`: a group for each pair of boundaries, the lower one inclusive, in their order. */
export const bucketDocuments = (argument: unknown): ((input: Groups) => Groups) => {
  if (!isPlainObject(argument)) throw new CommandError(40201, 'Argument to $bucket stage must be an object')
  for (const key of Object.keys(argument))
    if (!['groupBy', 'boundaries', 'default', 'output'].includes(key))
      throw new CommandError(40197, `Unrecognized option to $bucket: ${key}`)
  const boundaries = boundariesOf(argument)
  const compute = evaluate(argument['groupBy'])
  const fields = fieldsOf((argument['output'] ?? { count: { $sum: 1 } }) as Doc)
  const idOf = (doc: Doc): unknown => {
    const value = compute(doc) ?? null
    const above = boundaries.findIndex((boundary) => compareValues(value, boundary) < 0)
    if (above > 0) return boundaries[above - 1]
    if (!Object.hasOwn(argument, 'default'))
      throw new CommandError(
        40066,
        '$switch could not find a matching branch for an input, and no default was specified: a value is outside the boundaries of $bucket',
      )
    return argument['default']
  }
  const group = grouped({ idOf, fields })
  return function* (input) {
    const buckets: Doc[] = []
    for (const bucket of group(input))
      if (bucket === null) yield null
      else buckets.push(bucket)
    yield* buckets.sort((a, b) => compareValues(a['_id'], b['_id']))
  }
}
