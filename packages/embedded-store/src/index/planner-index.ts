import { descending, fieldBounds, type FieldBounds, type Interval } from './bounds.ts'
import { type Catalog, type Index, indexTable } from '../storage/catalog.ts'
import { filterOf, type Filter, type Predicate } from '../query/matcher.ts'
import { isArrayIndex } from '../values/paths.ts'
import { coversSparse, impliesPartial } from './planner-partial.ts'
import type { Sort } from '../query/sort.ts'

/** `equal` is how many of the index's first fields have one value. */
export type IndexPlan = {
  kind: 'index'
  index: Index
  ranges: Interval[]
  reverse: boolean
  /** The conditions that are still tested on the documents. */
  residual: Filter
  sorted: boolean
  bounded: boolean
  equal: number
}

const MAX_RANGES = 5000
const EVERYTHING: Interval = { lo: Buffer.from([0]), hi: Buffer.from([0xff]) }

type Reached = { ranges: Interval[]; used: Predicate[]; bounded: number; equal: number }

const cross = (prefixes: Interval[], intervals: Interval[]): Interval[] =>
  prefixes.flatMap((prefix) =>
    intervals.map(({ lo, hi }) => ({ lo: Buffer.concat([prefix.lo, lo]), hi: Buffer.concat([prefix.lo, hi]) })),
  )

const isSinglePoint = ({ points, intervals }: FieldBounds): boolean => points && intervals.length === 1

/** Two fields below one array must not be bounded together: their values may stand in different elements. */
const sharesArray = (index: Index, position: number): boolean => {
  if (!index.multikey) return false
  const root = index.paths[position]?.split('.')[0]
  return index.paths.slice(0, position).some((path) => path.split('.')[0] === root)
}

/** Follows the index's fields as long as the filter bounds them; only points lead on to the next field. */
const reach = (index: Index, filter: Filter): Reached => {
  const reached: Reached = { ranges: [], used: [], bounded: 0, equal: 0 }
  let prefixes: Interval[] | undefined
  for (const [position, path] of index.paths.entries()) {
    // a number is a place in an array or the name of a field: the key says only one of them
    const isOpen = path.split('.').some(isArrayIndex) || sharesArray(index, position)
    const bounds = isOpen ? undefined : fieldBounds(filter, path, index.multikey)
    if (!bounds) break
    const intervals = index.directions[position] === -1 ? bounds.intervals.map(descending) : bounds.intervals
    if ((prefixes?.length ?? 1) * intervals.length > MAX_RANGES && prefixes) break
    prefixes = prefixes ? cross(prefixes, intervals) : intervals
    reached.bounded++
    reached.used.push(...bounds.used)
    if (isSinglePoint(bounds) && reached.equal === position) reached.equal++
    if (!bounds.points) break
  }
  reached.ranges = (prefixes ?? [EVERYTHING]).toSorted((a, b) => Buffer.compare(a.lo, b.lo))
  return reached
}

/**
 * Compares the order of the index, after the fields with equal values, with the wanted one: 1 same, -1 reversed, 0
 * neither.
 */
const sortDirection = (index: Index, equal: number, bounded: boolean, sort: Sort | undefined): 0 | 1 | -1 => {
  if (!sort || (index.multikey && bounded)) return 0
  const fixed = new Set(index.paths.slice(0, equal))
  const wanted = sort.paths.flatMap((path, i) => (fixed.has(path) ? [] : [{ path, direction: sort.directions[i] }]))
  let result: 0 | 1 | -1 = 0
  for (const [i, { path, direction }] of wanted.entries()) {
    const position = equal + i
    if (index.paths[position] !== path) return 0
    const same = index.directions[position] === direction ? 1 : -1
    if (result !== 0 && result !== same) return 0
    result = same
    // behind the `_id` nothing can differ any more
    if (path === '_id' && index.paths.length === 1) break
  }
  return result === 0 ? 1 : result
}

const without = (filter: Filter, used: Predicate[]): Filter =>
  used.length === 0
    ? filter
    : filterOf(
        filter.predicates.filter((predicate) => !used.includes(predicate)),
        filter.unions,
        filter.rest,
      )

/**
 * Plan of an index for a filter and a sort. Undefined if the index may lack matching documents, except for a sparse one
 * that a hint requests.
 */
export const planFor = (
  index: Index,
  { filter, sort, hint }: { filter: Filter; sort: Sort | undefined; hint?: unknown },
): IndexPlan | undefined => {
  if (index.partial && !impliesPartial(filter, index)) return undefined
  if (index.sparse && hint !== index && !coversSparse(filter, index)) return undefined
  const { ranges, used, bounded, equal } = reach(index, filter)
  const direction = sortDirection(index, equal, bounded > 0, sort)
  return {
    kind: 'index',
    index,
    ranges,
    reverse: direction === -1,
    residual: without(filter, used),
    sorted: direction !== 0,
    bounded: bounded > 0,
    equal,
  }
}

/** Number of documents that are sorted faster than a better plan is found. */
export const FEW = 1000

/** Counts the keys that a plan would read, up to a small limit. */
export const estimate = (catalog: Catalog, { index, ranges }: IndexPlan): number => {
  if (ranges.length > 20) return ranges.length
  const count = catalog.storage.statement(
    `SELECT count(*) AS n FROM (SELECT 1 FROM ${indexTable(index)} WHERE key >= ? AND key < ? LIMIT ${FEW + 1})`,
  )
  let total = 0
  for (const { lo, hi } of ranges) {
    total += Number(count.get(lo, hi)?.['n'])
    if (total > FEW) break
  }
  return total
}
