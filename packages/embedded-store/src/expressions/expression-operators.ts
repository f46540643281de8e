import { type Doc, isPlainObject, setField, toNumber } from '../values/bson.ts'
import { compareValues } from '../values/compare.ts'
import { CommandError } from '../errors.ts'
import { ARRAY_OPERATORS } from './expression-arrays.ts'
import { NUMBER_OPERATORS } from './expression-numbers.ts'
import { COMPARISONS, type Compute, isNothing, isTrue, listOf, nameOf, on, type Operator } from './expression-parts.ts'
import { sum } from '../values/numbers.ts'

const comparing = (accepts: (order: number) => unknown): Operator => on((a, b) => accepts(compareValues(a, b)))

const ifNull: Operator = (argument, compile) => {
  const computes = listOf(argument).map(compile)
  if (computes.length < 2)
    throw new CommandError(1257300, `$ifNull needs at least two arguments, had: ${computes.length}`)
  return (doc) => {
    let value: unknown
    for (const compute of computes) {
      value = compute(doc)
      if (!isNothing(value)) break
    }
    return value
  }
}

/** The parts of a `$cond`, and the codes for those that are missing. */
const CONDITION = new Map([
  ['if', 17080],
  ['then', 17081],
  ['else', 17082],
])

/** The three parts of a `$cond`, which may be an object or an array. */
const conditionParts = (argument: unknown): unknown[] => {
  if (!isPlainObject(argument)) {
    const parts = listOf(argument)
    if (parts.length === 3) return parts
    throw new CommandError(16020, `Expression $cond takes exactly 3 arguments. ${parts.length} were passed in.`)
  }
  for (const part of Object.keys(argument))
    if (!CONDITION.has(part)) throw new CommandError(17083, `Unrecognized parameter to $cond: ${part}`)
  return [...CONDITION].map(([part, code]) => {
    if (argument[part] === undefined) throw new CommandError(code, `Missing '${part}' parameter to $cond`)
    return argument[part]
  })
}

const cond: Operator = (argument, compile) => {
  const [condition, then, otherwise] = conditionParts(argument).map(compile) as [Compute, Compute, Compute]
  return (doc) => (isTrue(condition(doc)) ? then(doc) : otherwise(doc))
}

/** Looks at arguments until one is not as the others have to be. */
const every =
  (wanted: boolean): Operator =>
  (argument, compile) => {
    const computes = listOf(argument).map(compile)
    return (doc) => computes.every((compute) => isTrue(compute(doc)) === wanted) === wanted
  }

/** A value as text; what is no number and no date has none. */
const textOf = (value: unknown): string => {
  if (isNothing(value)) return ''
  if (typeof value === 'string') return value
  if (value instanceof Date) return value.toISOString()
  if (toNumber(value) === undefined)
    throw new CommandError(16007, `can't convert from BSON type ${nameOf(value)} to String`)
  return String(value)
}

const size = on((value) => {
  if (Array.isArray(value)) return value.length
  throw new CommandError(17124, `The argument to $size must be an array, but was of type: ${nameOf(value)}`)
})

const mergeObjects = on((...values) => {
  const list = values.length === 1 && Array.isArray(values[0]) ? (values[0] as unknown[]) : values
  const merged: Doc = {}
  for (const value of list) {
    if (isNothing(value)) continue
    if (!isPlainObject(value))
      throw new CommandError(40400, `$mergeObjects requires object inputs, but input is of type ${nameOf(value)}`)
    for (const key of Object.keys(value)) setField(merged, key, value[key])
  }
  return merged
})

const concat = on((...values) => {
  let text = ''
  for (const value of values) {
    if (isNothing(value)) return null
    if (typeof value !== 'string') throw new CommandError(16702, `$concat only supports strings, not ${nameOf(value)}`)
    text += value
  }
  return text
})

const add = on((...values) => {
  let total: unknown = 0
  let date: Date | undefined
  for (const value of values) {
    if (isNothing(value)) return null
    if (value instanceof Date) {
      if (date) throw new CommandError(16612, 'only one date allowed in an $add expression')
      date = value
    } else if (toNumber(value) === undefined) {
      throw new CommandError(14, `$add only supports numeric or date types, not ${nameOf(value)}`)
    } else total = sum(total, value)
  }
  return date ? new Date(date.getTime() + Math.round(toNumber(total) ?? 0)) : total
})

const whole = (value: unknown, code: number, what: string): number => {
  const number = toNumber(value)
  if (number === undefined)
    throw new CommandError(code, `${what} argument to $slice must be numeric, but is of type: ${nameOf(value)}`)
  if (!Number.isInteger(number))
    throw new CommandError(code + 1, `${what} argument to $slice can't be represented as a 32-bit integer: ${number}`)
  return number
}

const slice = on((array, second, ...others) => {
  if ([array, second, ...others].some(isNothing)) return null
  if (!Array.isArray(array))
    throw new CommandError(28724, `First argument to $slice must be an array, but is of type: ${nameOf(array)}`)
  const start = whole(second, 28725, 'Second')
  if (others.length === 0) return start < 0 ? array.slice(start) : array.slice(0, start)
  const count = whole(others[0], 28727, 'Third')
  if (count <= 0) throw new CommandError(28729, `Third argument to $slice must be positive: ${count}`)
  const from = start < 0 ? Math.max(array.length + start, 0) : start
  return array.slice(from, from + count)
})

/** The operators that pass values on or look at their types, which mingo does not know. */
export const OPERATORS: Record<string, Operator> = {
  $literal: (argument) => () => argument,
  ...ARRAY_OPERATORS,
  ...NUMBER_OPERATORS,
  $and: every(true),
  $or: every(false),
  $not: on((value) => !isTrue(value)),
  $ifNull: ifNull,
  $cond: cond,
  $size: size,
  $slice: slice,
  $type: on(nameOf),
  $concat: concat,
  $toLower: on((value) => textOf(value).toLowerCase()),
  $toUpper: on((value) => textOf(value).toUpperCase()),
  $add: add,
  $mergeObjects: mergeObjects,
  ...Object.fromEntries(Object.entries(COMPARISONS).map(([name, accepts]) => [name, comparing(accepts)])),
}
