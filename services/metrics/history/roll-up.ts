import { type Series, series as catalogue, type SubjectKind } from '#shared/contracts/metrics/catalog.ts'
import { eachValue } from './series.ts'
import { emptyTable, type Table } from './table.ts'

/** Minimum, maximum, weighted sum and weight of the values in one bucket. A bucket without values has weight 0. */
export type Buckets = { min: Float64Array; max: Float64Array; sum: Float64Array; weight: Float64Array }

export const createBuckets = (count: number): Buckets => ({
  min: new Float64Array(count).fill(NaN),
  max: new Float64Array(count).fill(NaN),
  sum: new Float64Array(count),
  weight: new Float64Array(count),
})

export function addTo(
  { min, max, sum, weight }: Buckets,
  bucket: number,
  value: { min: number; max: number; sum: number; weight: number },
): void {
  // NaN compares as false both ways.
  if (!(min[bucket]! <= value.min)) min[bucket] = value.min
  if (!(max[bucket]! >= value.max)) max[bucket] = value.max
  sum[bucket]! += value.sum
  weight[bucket]! += value.weight
}

/** Index of the bucket of a time, -1 outside. `edges` are the starts of all buckets and the end of the last. */
export function bucketOf(edges: Float64Array, time: number): number {
  let [low, high] = [0, edges.length - 1]
  if (time < edges[0]! || time >= edges[high]!) return -1
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if (edges[middle]! <= time) low = middle
    else high = middle
  }
  return low
}

/** Adds the values of raw samples to the buckets of their times. */
export function rollUpSamples(
  table: Table,
  series: Series,
  intervalMs: number,
  edges: Float64Array,
  buckets: Buckets,
): void {
  eachValue(table, series, intervalMs, (index, value, weight) => {
    const bucket = bucketOf(edges, table.times[index]!)
    if (bucket >= 0) addTo(buckets, bucket, { min: value, max: value, sum: value * weight, weight })
  })
}

const parts = ['min', 'max', 'sum', 'weight'] as const
/** Name of a column of a roll-up. */
const partName = (name: string, part: (typeof parts)[number]) => `${name}.${part}`

/** The columns of a roll-up of a kind of subject. */
export const rolledColumns = (kind: SubjectKind): string[] =>
  Object.keys(catalogue[kind]).flatMap((name) => parts.map((part) => partName(name, part)))

/** Adds buckets that were rolled up before to larger ones. */
export function rollUpBuckets(table: Table, name: string, edges: Float64Array, buckets: Buckets): void {
  const [min, max, sum, weight] = parts.map((part) => table.columns.get(partName(name, part)))
  if (!min || !max || !sum || !weight) return
  for (let index = 0; index < table.length; index++) {
    const bucket = bucketOf(edges, table.times[index]!)
    if (bucket < 0 || !(weight[index]! > 0)) continue
    addTo(buckets, bucket, { min: min[index]!, max: max[index]!, sum: sum[index]!, weight: weight[index]! })
  }
}

/** Evenly spaced edges over a time span, aligned to 1970. */
export function evenEdges(from: number, to: number, lengthMs: number): Float64Array {
  const first = Math.floor(from / lengthMs)
  const count = Math.max(1, Math.ceil(to / lengthMs) - first)
  return Float64Array.from({ length: count + 1 }, (_, index) => (first + index) * lengthMs)
}

/** All series of raw samples in buckets of one length, as a table: one row for each bucket that has a sample. */
export function rollUpTable(
  kind: SubjectKind,
  samples: Table,
  intervalMs: number,
  [from, to]: readonly [number, number],
  lengthMs: number,
): Table {
  const edges = evenEdges(from, to, lengthMs)
  const count = edges.length - 1
  const rows = rowsIn(samples, edges)
  if (rows.length === 0) return emptyTable(rolledColumns(kind))
  const columns = new Map<string, Float64Array>()
  for (const [name, series] of Object.entries(catalogue[kind])) {
    const buckets = createBuckets(count)
    rollUpSamples(samples, series, intervalMs, edges, buckets)
    for (const part of parts)
      columns.set(
        partName(name, part),
        Float64Array.from(rows, ({ bucket }) => buckets[part][bucket]!),
      )
  }
  const pick = (of: (row: (typeof rows)[number]) => number) => Float64Array.from(rows, of)
  return {
    length: rows.length,
    times: pick(({ bucket }) => edges[bucket]!),
    steady: pick(({ bucket }) => edges[bucket]!),
    identity: pick(({ last }) => samples.identity[last]!),
    quality: pick(({ last }) => samples.quality[last]!),
    identities: samples.identities,
    columns,
  }
}

/** The buckets that have samples, with the index of the last of each. */
function rowsIn({ times, length }: Table, edges: Float64Array): { bucket: number; last: number }[] {
  const lasts = new Map<number, number>()
  for (let index = 0; index < length; index++) {
    const bucket = bucketOf(edges, times[index]!)
    if (bucket >= 0) lasts.set(bucket, index)
  }
  return [...lasts].map(([bucket, last]) => ({ bucket, last }))
}
