import { type Doc, isPlainObject, setField, toNumber, typeName } from '../../values/bson.ts'
import { CommandError, notImplemented } from '../../errors.ts'
import { fieldPath } from '../../values/field-path.ts'
import { encodeValue } from '../../values/key-encoding.ts'
import { sum } from '../../values/numbers.ts'
import { MISSING, ownValue } from '../../values/paths.ts'
import type { Stage } from './stages.ts'

/** Reads one value of a document; MISSING where it has none. */
type Read = (doc: Doc) => unknown

/** The value at a path, an array of values where the path goes through an array: how `$a.b` is evaluated. */
const valueAt = (value: unknown, parts: readonly string[]): unknown => {
  if (parts.length === 0) return value
  if (Array.isArray(value)) return value.map((element) => valueInArray(element, parts)).filter((one) => one !== MISSING)
  const next = isPlainObject(value) ? ownValue(value, parts[0] as string) : MISSING
  return next === MISSING ? MISSING : valueAt(next, parts.slice(1))
}

const valueInArray = (element: unknown, parts: readonly string[]): unknown =>
  isPlainObject(element) || Array.isArray(element) ? valueAt(element, parts) : MISSING

const readObject = (spec: Doc): Read => {
  const fields = Object.entries(spec).map(([name, value]) => {
    if (name.startsWith('$')) throw notImplemented(`The expression ${name}`)
    if (name.includes('.')) throw new CommandError(40183, `FieldPath field names may not contain '.': ${name}`)
    return { name, read: readerOf(value) }
  })
  return (doc) => {
    const result: Doc = {}
    for (const { name, read } of fields) {
      const value = read(doc)
      if (value !== MISSING) setField(result, name, value)
    }
    return result
  }
}

/** Compiles a field path (`$a.b`), a constant, or an object of these. @throws CommandError 238 for an expression */
const readerOf = (spec: unknown): Read => {
  if (isPlainObject(spec)) return readObject(spec)
  if (Array.isArray(spec)) throw notImplemented('An array in an expression')
  if (typeof spec !== 'string' || !spec.startsWith('$')) return () => spec
  if (spec.startsWith('$$')) throw notImplemented(`The variable ${spec}`)
  if (spec === '$') throw new CommandError(16872, "'$' by itself is not a valid FieldPath")
  const parts = fieldPath(spec.slice(1))
  return (doc) => valueAt(doc, parts)
}

/** MongoDB's other accumulators. */
const OTHER = new Set(
  (
    '$accumulator $addToSet $avg $bottom $bottomN $concatArrays $first $firstN $last $lastN $max $maxN $median ' +
    '$mergeObjects $min $minN $percentile $push $setUnion $stdDevPop $stdDevSamp $top $topN'
  ).split(' '),
)

type Field = { name: string; read: Read }

const summed = (operator: string, argument: unknown): Read => {
  if (operator === '$sum') return readerOf(argument)
  if (operator !== '$count')
    throw OTHER.has(operator)
      ? notImplemented(`The accumulator ${operator}`)
      : new CommandError(15952, `unknown group operator '${operator}'`)
  if (!isPlainObject(argument) || Object.keys(argument).length > 0)
    throw new CommandError(14, '$count takes no arguments, i.e. $count:{}')
  return () => 1
}

const parseField = (name: string, value: unknown): Field => {
  const entries = isPlainObject(value) ? Object.entries(value) : []
  const [entry] = entries
  if (!entry || entries.length !== 1)
    throw new CommandError(entries.length > 1 ? 40238 : 40234, `The field '${name}' must be an accumulator object`)
  if (name.includes('.')) throw new CommandError(40235, `The field name '${name}' cannot contain '.'`)
  const [operator, argument] = entry
  if (!operator.startsWith('$')) throw new CommandError(40234, `The field '${name}' must be an accumulator object`)
  return { name, read: summed(operator, argument) }
}

/** Memory for groups, as MongoDB limits it: keys, and some bytes for each group and sum. */
const MAX_GROUP_BYTES = 100 * 1024 * 1024
const GROUP_BYTES = 300
const SUM_BYTES = 50

type Group = { id: unknown; sums: unknown[] }

/** `$group` by field paths, with sums: the documents pass by, only the groups are kept. */
export const group = (argument: unknown): Stage => {
  if (!isPlainObject(argument))
    throw new CommandError(15947, `a group's fields must be specified in an object, not ${typeName(argument)}`)
  if (!Object.hasOwn(argument, '_id')) throw new CommandError(15955, 'a group specification must include an _id')
  const fields = Object.entries(argument)
    .filter(([name]) => name !== '_id')
    .map(([name, value]) => parseField(name, value))
  const readId = readerOf(argument['_id'])
  return function* (input) {
    const groups = new Map<string, Group>()
    let bytes = 0
    for (const doc of input) {
      if (doc === null) {
        yield null
        continue
      }
      const found = readId(doc)
      const id = found === MISSING || found === undefined ? null : found
      const key = encodeValue(id).toString('latin1')
      let known = groups.get(key)
      if (!known) {
        bytes += 2 * key.length + GROUP_BYTES + SUM_BYTES * fields.length
        if (bytes > MAX_GROUP_BYTES) throw new CommandError(292, 'Exceeded memory limit for $group')
        known = { id, sums: fields.map(() => 0) }
        groups.set(key, known)
      }
      for (const [i, { read }] of fields.entries()) {
        const value = read(doc)
        if (toNumber(value) !== undefined) known.sums[i] = sum(known.sums[i], value)
      }
    }
    for (const { id, sums } of groups.values())
      yield { _id: id, ...Object.fromEntries(fields.map(({ name }, i) => [name, sums[i]])) }
  }
}
