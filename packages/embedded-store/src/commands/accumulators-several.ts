import { type Doc, isPlainObject, toNumber } from '../values/bson.ts'
import { compareValues } from '../values/compare.ts'
import { badValue, CommandError } from '../errors.ts'
import { evaluate } from '../expressions/expressions.ts'
import { parseSort, sortKeyOf } from '../query/sort.ts'
import { type MakeAccumulator, numeric } from './accumulator.ts'

/** Accumulators that give several values of a group, or one by an order: `$topN`, `$firstN`, `$percentile` and their kin. */
type Compile = (argument: unknown) => MakeAccumulator

const specOf = (operator: string, argument: unknown, fields: readonly string[]): Doc => {
  if (!isPlainObject(argument)) throw new CommandError(5788001, `specification must be an object; found ${operator}`)
  for (const key of Object.keys(argument))
    if (!fields.includes(key)) throw new CommandError(5788002, `Unknown argument for '${operator}': ${key}`)
  for (const field of fields)
    if (argument[field] === undefined) throw new CommandError(5788003, `Missing value for '${field}' in ${operator}`)
  return argument
}

/** `n` may be computed from the `_id` of the group. */
const countOf = (n: unknown): ((id: unknown) => number) => {
  const compute = evaluate(n)
  return (id) => {
    const count = toNumber(compute(isPlainObject(id) ? id : {}))
    if (count === undefined || !Number.isInteger(count)) throw new CommandError(5787902, `'n' must be a whole number`)
    if (count <= 0) throw new CommandError(5787908, `'n' must be greater than 0, found ${count}`)
    return count
  }
}

/** At most this many values of a group. */
type MakeSelection = (most: number) => { add: (value: unknown) => void; result: () => unknown[] }

/** An accumulator of `n` of what `input` computes. */
const selected =
  (operator: string, select: MakeSelection): Compile =>
  (argument) => {
    const { input, n } = specOf(operator, argument, ['input', 'n'])
    const [compute, count] = [evaluate(input), countOf(n)]
    return (id) => {
      const { add, result } = select(count(id))
      return { add: (doc) => add(compute(doc)), result }
    }
  }

const first: MakeSelection = (most) => {
  const values: unknown[] = []
  const add = (value: unknown): void => {
    if (values.length < most) values.push(value ?? null)
  }
  return { add, result: () => [...values] }
}

const last: MakeSelection = (most) => {
  const values: unknown[] = []
  const add = (value: unknown): void => {
    values.push(value ?? null)
    if (values.length > most) values.shift()
  }
  return { add, result: () => [...values] }
}

const extremes =
  (sign: 1 | -1): MakeSelection =>
  (most) => {
    const values: unknown[] = []
    const sorted = (): unknown[] => values.toSorted((a, b) => compareValues(a, b) * sign).slice(0, most)
    const add = (value: unknown): void => {
      if (value === undefined || value === null) return
      values.push(value)
      if (values.length >= 2 * most + 1000) values.splice(0, values.length, ...sorted())
    }
    return { add, result: sorted }
  }

type Entry = { key: Buffer; value: unknown }

/** The outputs of the first (or the last) documents in an order; those that are equal stay as they came. */
const ordered =
  (operator: string, end: 'first' | 'last', isSingle: boolean): Compile =>
  (argument) => {
    const spec = specOf(operator, argument, isSingle ? ['sortBy', 'output'] : ['sortBy', 'output', 'n'])
    const sort = parseSort(spec['sortBy'])
    if (!sort) throw badValue(`${operator} needs a sortBy with at least one field`)
    const [keyOf, compute, count] = [sortKeyOf(sort), evaluate(spec['output']), countOf(isSingle ? 1 : spec['n'])]
    return (id) => {
      const most = count(id)
      const entries: Entry[] = []
      const cut = (): Entry[] => {
        const sorted = entries.toSorted((a, b) => Buffer.compare(a.key, b.key))
        return end === 'first' ? sorted.slice(0, most) : sorted.slice(-most)
      }
      const add = (doc: Doc): void => {
        entries.push({ key: keyOf(doc), value: compute(doc) ?? null })
        if (entries.length >= 2 * most + 1000) entries.splice(0, entries.length, ...cut())
      }
      const values = (): unknown[] => cut().map(({ value }) => value)
      return { add, result: () => (isSingle ? (values()[0] ?? null) : values()) }
    }
  }

/** The least value that so many of all are not above. */
const percentileOf = (sorted: readonly number[], share: number): number | null =>
  sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? null

const percentile =
  (operator: string): Compile =>
  (argument) => {
    const fields = operator === '$median' ? ['input', 'method'] : ['input', 'p', 'method']
    const { input, p = [0.5], method } = specOf(operator, argument, fields)
    if (method !== 'approximate') throw badValue(`${operator}: 'method' must be 'approximate'`)
    const shares = Array.isArray(p) ? (p as unknown[]).map(toNumber) : []
    if (shares.length === 0 || shares.some((share) => share === undefined || share < 0 || share > 1))
      throw new CommandError(7750301, "The $percentile 'p' field must be an array of numbers from 0 to 1")
    const compute = evaluate(input)
    return () => {
      const values: number[] = []
      const add = (doc: Doc): void => {
        const number = numeric(compute(doc))
        if (number !== undefined) values.push(number)
      }
      const result = (): unknown => {
        const sorted = values.toSorted((a, b) => a - b)
        const found = shares.map((share) => percentileOf(sorted, share as number))
        return operator === '$median' ? found[0] : found
      }
      return { add, result }
    }
  }

export const SEVERAL: Record<string, Compile> = {
  $firstN: selected('$firstN', first),
  $lastN: selected('$lastN', last),
  $minN: selected('$minN', extremes(1)),
  $maxN: selected('$maxN', extremes(-1)),
  $top: ordered('$top', 'first', true),
  $topN: ordered('$topN', 'first', false),
  $bottom: ordered('$bottom', 'last', true),
  $bottomN: ordered('$bottomN', 'last', false),
  $median: percentile('$median'),
  $percentile: percentile('$percentile'),
}
