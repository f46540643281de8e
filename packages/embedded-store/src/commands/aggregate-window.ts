import { type Doc, isPlainObject, toNumber } from '../values/bson.ts'
import { CommandError, failedToParse } from '../errors.ts'
import { evaluate } from '../expressions/expressions.ts'
import { encodeValue } from '../values/key-encoding.ts'
import { parseSort, type Sort, sortKeyOf } from '../query/sort.ts'
import { accumulatorOf } from './aggregate-accumulators.ts'
import { collect, type Stage } from './aggregate-environment.ts'
import { type Partition, type WindowFunction, WINDOW_FUNCTIONS } from './window-functions.ts'
import { rangeFinder } from './window-range.ts'
import { withField } from './with-field.ts'

/** From where to where the window of the document at a place reaches; the second is not part of it. */
export type FindWindow = (partition: Partition, at: number) => [from: number, to: number]

const boundary = (value: unknown, side: 0 | 1): ((at: number, length: number) => number) => {
  if (value === 'unbounded') return (_, length) => (side === 0 ? 0 : length)
  const offset = value === 'current' ? 0 : toNumber(value)
  if (offset === undefined || !Number.isInteger(offset))
    throw failedToParse("Window bounds must be 'unbounded', 'current', or a number")
  return (at, length) => Math.min(Math.max(at + offset + side, 0), length)
}

const documentsWindow = (bounds: unknown): FindWindow => {
  if (!Array.isArray(bounds) || bounds.length !== 2) throw failedToParse('Window bounds must be a 2-element array')
  const [from, to] = [boundary(bounds[0], 0), boundary(bounds[1], 1)]
  return ({ docs }, at) => [from(at, docs.length), to(at, docs.length)]
}

const windowOf = (spec: unknown, sort: Sort | undefined): FindWindow => {
  if (spec === undefined) return ({ docs }) => [0, docs.length]
  if (!isPlainObject(spec)) throw failedToParse("'window' field must be an object")
  if (spec['documents'] !== undefined) return documentsWindow(spec['documents'])
  if (spec['range'] !== undefined) return rangeFinder(spec['range'], spec['unit'], sort)
  return ({ docs }) => [0, docs.length]
}

/** An accumulator over the window of each document; one that only grows is fed with each document once. */
const accumulating = (operator: string, argument: unknown, find: FindWindow): WindowFunction => {
  const make = accumulatorOf(operator, argument)
  if (!make) throw failedToParse(`Unrecognized window function, ${operator}`)
  return (partition) => {
    const { docs } = partition
    let accumulator = make(null)
    let [start, end] = [0, 0]
    return docs.map((_, at) => {
      const [from, to] = find(partition, at)
      if (from !== start || to < end) {
        accumulator = make(null)
        start = end = from
      }
      for (; end < to; end++) accumulator.add(docs[end] as Doc)
      return accumulator.result()
    })
  }
}

type Output = { path: string; compute: WindowFunction }

const outputOf = (path: string, spec: unknown, sort: Sort | undefined): Output => {
  if (!isPlainObject(spec)) throw failedToParse(`The field '${path}' must be an object`)
  const { window, ...rest } = spec
  const [entry, ...others] = Object.entries(rest)
  if (!entry || others.length > 0) throw failedToParse('Window function found no or more than one operator')
  const [operator, argument] = entry
  const find = windowOf(window, sort)
  const own = Object.hasOwn(WINDOW_FUNCTIONS, operator) ? WINDOW_FUNCTIONS[operator] : undefined
  return { path, compute: own ? own(argument, { sort, find }) : accumulating(operator, argument, find) }
}

type Keyed = { doc: Doc; group: Buffer; key: Buffer }

const partitioned = (entries: Keyed[]): Partition[] => {
  const partitions: Partition[] = []
  let group: Buffer | undefined
  for (const entry of entries) {
    if (!group?.equals(entry.group)) partitions.push({ docs: [], keys: [] })
    group = entry.group
    partitions.at(-1)?.docs.push(entry.doc)
    partitions.at(-1)?.keys.push(entry.key)
  }
  return partitions
}

const NO_KEY = Buffer.alloc(0)

/** `$setWindowFields`: the documents come by partition, and in each in the order of `sortBy`. */
export const setWindowFields = (argument: unknown): Stage => {
  if (!isPlainObject(argument) || !isPlainObject(argument['output']))
    throw failedToParse("the $setWindowFields stage specification must be an object with an 'output'")
  for (const key of Object.keys(argument))
    if (!['partitionBy', 'sortBy', 'output'].includes(key))
      throw new CommandError(40415, `BSON field '$setWindowFields.${key}' is an unknown field.`)
  const sort = parseSort(argument['sortBy'])
  const keyOf = sort ? sortKeyOf(sort) : () => NO_KEY
  const groupOf = evaluate(argument['partitionBy'] ?? null)
  const outputs = Object.entries(argument['output']).map(([path, spec]) => outputOf(path, spec, sort))
  const set = settingAll(outputs.map(({ path }) => path))
  return function* (input) {
    const docs: Doc[] = []
    yield* collect('$setWindowFields', input, docs)
    const entries = docs.map((doc) => ({ doc, group: encodeValue(groupOf(doc) ?? null), key: keyOf(doc) }))
    entries.sort((a, b) => Buffer.compare(a.group, b.group) || Buffer.compare(a.key, b.key))
    for (const partition of partitioned(entries)) {
      const columns = outputs.map(({ compute }) => compute(partition))
      for (const [at, doc] of partition.docs.entries())
        yield set(
          doc,
          columns.map((column) => column[at]),
        )
    }
  }
}

const settingAll =
  (paths: readonly string[]) =>
  (doc: Doc, values: readonly unknown[]): Doc =>
    paths.reduce((result, path, i) => withField(result, path, values[i]), doc)
