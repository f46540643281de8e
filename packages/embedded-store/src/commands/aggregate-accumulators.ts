import { type Doc, isPlainObject, toNumber } from '../values/bson.ts'
import { compareValues } from '../values/compare.ts'
import { CommandError } from '../errors.ts'
import { evaluate, evaluateTyped } from '../expressions/expressions.ts'
import { encodeValue } from '../values/key-encoding.ts'
import { asDouble, sum } from '../values/numbers.ts'
import { type MakeAccumulator, numeric } from './accumulator.ts'
import { SEVERAL } from './accumulators-several.ts'

/** Fed with the values of an expression. */
type Collector = { add: (value: unknown) => void; result: () => unknown }

const extreme = (sign: 1 | -1) => (): Collector => {
  let best: unknown
  return {
    add: (value) => {
      if (value === undefined || value === null) return
      if (best === undefined || compareValues(value, best) * sign > 0) best = value
    },
    result: () => best ?? null,
  }
}

const total = (): Collector => {
  let all: unknown = 0
  return {
    add: (value) => {
      if (toNumber(value) !== undefined) all = sum(all, value)
    },
    result: () => all,
  }
}

const average = (): Collector => {
  let all = 0
  let count = 0
  return {
    add: (value) => {
      const number = numeric(value)
      if (number === undefined) return
      all += number
      count++
    },
    result: () => (count === 0 ? null : asDouble(all / count)),
  }
}

/** Welford's way, which does not lose what is small beside what is large. */
const deviation = (freedom: 0 | 1) => (): Collector => {
  let [count, mean, squares] = [0, 0, 0]
  return {
    add: (value) => {
      const number = numeric(value)
      if (number === undefined) return
      const before = number - mean
      mean += before / ++count
      squares += before * (number - mean)
    },
    result: () => (count <= freedom ? null : Math.sqrt(squares / (count - freedom))),
  }
}

const first = (): Collector => {
  let isSet = false
  let kept: unknown = null
  return {
    add: (value) => {
      if (!isSet) kept = value ?? null
      isSet = true
    },
    result: () => kept,
  }
}

const last = (): Collector => {
  let kept: unknown = null
  return { add: (value) => void (kept = value ?? null), result: () => kept }
}

const push = (): Collector => {
  const values: unknown[] = []
  return {
    add: (value) => {
      if (value !== undefined) values.push(value)
    },
    result: () => [...values],
  }
}

const addToSet = (): Collector => {
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

const mergeObjects = (): Collector => {
  const merged: Doc = {}
  return {
    add: (value) => {
      if (value === undefined || value === null) return
      if (!isPlainObject(value)) throw new CommandError(5911200, '$mergeObjects only supports objects')
      Object.assign(merged, value)
    },
    result: () => ({ ...merged }),
  }
}

/** The accumulators of one expression. */
const SIMPLE: Record<string, () => Collector> = {
  $sum: total,
  $avg: average,
  $min: extreme(-1),
  $max: extreme(1),
  $first: first,
  $last: last,
  $push: push,
  $addToSet: addToSet,
  $mergeObjects: mergeObjects,
  $stdDevPop: deviation(0),
  $stdDevSamp: deviation(1),
}

const NUMERIC = new Set(['$avg', '$stdDevPop', '$stdDevSamp'])

const counting = (argument: unknown): MakeAccumulator => {
  if (!isPlainObject(argument) || Object.keys(argument).length > 0)
    throw new CommandError(14, '$count takes no arguments, i.e. $count:{}')
  return () => {
    let n = 0
    return { add: () => void n++, result: () => n }
  }
}

/** Compiles an accumulator; undefined when there is none of that name. */
export const accumulatorOf = (operator: string, argument: unknown): MakeAccumulator | undefined => {
  if (operator === '$count') return counting(argument)
  if (Object.hasOwn(SEVERAL, operator)) return SEVERAL[operator]?.(argument)
  const make = Object.hasOwn(SIMPLE, operator) ? SIMPLE[operator] : undefined
  if (!make) return undefined
  // numbers are computed with as JavaScript's; what is only passed on keeps its type
  const compute = NUMERIC.has(operator) ? evaluate(argument) : evaluateTyped(argument)
  return () => {
    const { add, result } = make()
    return { add: (doc) => add(compute(doc)), result }
  }
}
