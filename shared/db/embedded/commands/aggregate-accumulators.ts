import { toNumber } from '../bson.ts'
import { compareValues } from '../compare.ts'
import { encodeValue } from '../key-encoding.ts'

/** An accumulator of one group: fed with values, asked for its result. */
export type Accumulator = { add: (value: unknown) => void; result: () => unknown }

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

/** The accumulators that need no more than what they have so far. */
export const ACCUMULATORS: Record<string, () => Accumulator> = {
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
