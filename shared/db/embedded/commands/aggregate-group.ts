import { type Doc, isPlainObject } from '../bson.ts'
import { compareValues } from '../compare.ts'
import { badValue, CommandError, notImplemented } from '../errors.ts'
import { evaluate, runStages } from '../expressions.ts'
import { encodeValue } from '../key-encoding.ts'
import { toNumber } from '../bson.ts'

/** An accumulator of one group: fed with values, asked for its result. */
type Accumulator = { add: (value: unknown) => void; result: () => unknown }

const numeric = (value: unknown): number | undefined => (typeof value === 'object' ? undefined : toNumber(value))

const extreme = (sign: 1 | -1) => (): Accumulator => {
  let best: unknown
  return {
    add: (value) => {
      if (value === undefined || value === null) return
      if (best === undefined || compareValues(value, best) * sign > 0) best = value
    },
    result: () => best ?? null,
  }
}

const sum = (): Accumulator => {
  let total = 0
  return { add: (value) => void (total += numeric(value) ?? 0), result: () => total }
}

const average = (): Accumulator => {
  let total = 0
  let count = 0
  return {
    add: (value) => {
      const number = numeric(value)
      if (number === undefined) return
      total += number
      count++
    },
    result: () => (count === 0 ? null : total / count),
  }
}

const first = (): Accumulator => {
  let isSet = false
  let kept: unknown
  return {
    add: (value) => {
      if (!isSet) kept = value ?? null
      isSet = true
    },
    result: () => kept,
  }
}

const last = (): Accumulator => {
  let kept: unknown
  return { add: (value) => void (kept = value ?? null), result: () => kept }
}

const push = (): Accumulator => {
  const values: unknown[] = []
  return {
    add: (value) => {
      if (value !== undefined) values.push(value)
    },
    result: () => values,
  }
}

const addToSet = (): Accumulator => {
  const values = new Map<string, unknown>()
  return {
    add: (value) => {
      if (value === undefined) return
      const key = encodeValue(value).toString('latin1')
      if (!values.has(key)) values.set(key, value)
    },
    result: () => [...values.values()],
  }
}

const ACCUMULATORS: Record<string, () => Accumulator> = {
  $sum: sum,
  $count: sum,
  $avg: average,
  $min: extreme(-1),
  $max: extreme(1),
  $first: first,
  $last: last,
  $push: push,
  $addToSet: addToSet,
}

type Field = { name: string; make: () => Accumulator; compute: (doc: Doc) => unknown }

/** Undefined for an accumulator that only mingo has. */
const parseField = (name: string, value: unknown): Field | undefined => {
  const entries = isPlainObject(value) ? Object.entries(value) : []
  const [entry] = entries
  if (!entry || entries.length !== 1) throw new CommandError(2, `The field '${name}' must be an accumulator object`)
  const [operator, argument] = entry
  const make = Object.hasOwn(ACCUMULATORS, operator) ? ACCUMULATORS[operator] : undefined
  if (!make) return undefined
  if (name.includes('.')) throw badValue(`The field name '${name}' cannot contain '.'`)
  return { name, make, compute: operator === '$count' ? () => 1 : evaluate(argument) }
}

const MAX_GROUPS = 1_000_000
const MAX_COLLECTED = 100_000

type Groups = Generator<Doc | null>

/** `$group` with rare accumulators, by mingo over all documents at once. */
const withMingo = (argument: Doc) => {
  const accumulators = Object.entries(argument).filter(([name]) => name !== '_id')
  for (const [, value] of accumulators)
    if (isPlainObject(value) && Object.hasOwn(value, '$accumulator')) throw notImplemented('$accumulator')
  const run = runStages([{ $group: argument }])
  return function* (input: Groups): Groups {
    const docs: Doc[] = []
    for (const doc of input) {
      if (doc === null) yield null
      else if (docs.push(doc) > MAX_COLLECTED)
        throw new CommandError(292, `This $group is for ${MAX_COLLECTED} documents at most`)
    }
    for (const group of run(docs)) yield Object.hasOwn(group, '_id') ? group : { _id: null, ...group }
  }
}

/** `$group`: the documents pass by, only the groups are kept. */
export const groupDocuments = (argument: unknown): ((input: Groups) => Groups) => {
  if (!isPlainObject(argument)) throw new CommandError(2, "a group's fields must be specified in an object")
  if (!Object.hasOwn(argument, '_id')) throw new CommandError(2, 'a group specification must include an _id')
  const parsed = Object.entries(argument)
    .filter(([name]) => name !== '_id')
    .map(([name, value]) => parseField(name, value))
  const fields = parsed.filter((field) => field !== undefined)
  if (fields.length !== parsed.length) return withMingo(argument)
  const idOf = evaluate(argument['_id'])
  return function* (input) {
    const groups = new Map<string, { id: unknown; accumulators: Accumulator[] }>()
    for (const doc of input) {
      if (doc === null) {
        yield null
        continue
      }
      const id = idOf(doc) ?? null
      const key = encodeValue(id).toString('latin1')
      let group = groups.get(key)
      if (!group) {
        if (groups.size >= MAX_GROUPS) throw new CommandError(292, `$group makes more than ${MAX_GROUPS} groups`)
        group = { id, accumulators: fields.map(({ make }) => make()) }
        groups.set(key, group)
      }
      for (const [i, { compute }] of fields.entries()) group.accumulators[i]?.add(compute(doc))
    }
    for (const { id, accumulators } of groups.values())
      yield { _id: id, ...Object.fromEntries(fields.map(({ name }, i) => [name, accumulators[i]?.result()])) }
  }
}
