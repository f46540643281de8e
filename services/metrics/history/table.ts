import type { MissingReason, Quality } from '#shared/contracts/metrics/monitoring.ts'

/** Identifies one run of a subject on one node: its counters begin anew with another one. */
export type Identity = { id: string; node: string }

/**
 * Samples of one subject, by column. A missing value is NaN. `times` is wall-clock time and only grows; `steady` is a
 * clock that never jumps: rates use it. Both are milliseconds since 1970.
 */
export type Table = {
  length: number
  times: Float64Array
  steady: Float64Array
  /** Index into `identities`. */
  identity: Float64Array
  /** Code of {@link qualityCode}. */
  quality: Float64Array
  identities: readonly Identity[]
  columns: ReadonlyMap<string, Float64Array>
}

const qualities: readonly Quality[] = ['fresh', 'stale', 'estimated', 'missing']
const reasons: readonly MissingReason[] = ['not_measured', 'gone', 'stale', 'reset']

/** A quality and a reason as one number, for a column. */
export const qualityCode = (quality: Quality, reason: MissingReason = 'not_measured') =>
  qualities.indexOf(quality) + 4 * reasons.indexOf(reason)
export const qualityOf = (code: number): Quality => qualities[code % 4] ?? 'missing'
export const reasonOf = (code: number): MissingReason => reasons[Math.floor(code / 4)] ?? 'not_measured'

const fixed = ['times', 'steady', 'identity', 'quality'] as const

export function emptyTable(columns: readonly string[] = []): Table {
  const none = () => new Float64Array(0)
  return {
    length: 0,
    times: none(),
    steady: none(),
    identity: none(),
    quality: none(),
    identities: [],
    columns: new Map(columns.map((name) => [name, none()])),
  }
}

/** The rows from one index up to, not including, another. */
export function slice(table: Table, from: number, to: number): Table {
  const cut = (array: Float64Array) => array.subarray(from, to)
  return {
    length: Math.max(0, to - from),
    times: cut(table.times),
    steady: cut(table.steady),
    identity: cut(table.identity),
    quality: cut(table.quality),
    identities: table.identities,
    columns: new Map([...table.columns].map(([name, array]) => [name, cut(array)])),
  }
}

/** Index of the first row at or after a time. */
export function indexAt({ times, length }: Pick<Table, 'times' | 'length'>, time: number): number {
  let [low, high] = [0, length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (times[middle]! < time) low = middle + 1
    else high = middle
  }
  return low
}

/** The rows of a time span, the end not included. */
export const between = (table: Table, from: number, to: number) =>
  slice(table, indexAt(table, from), indexAt(table, to))

/** Joins tables that follow each other in time. A column that one of them lacks is missing there. */
export function concat(tables: readonly Table[]): Table {
  const parts = tables.filter(({ length }) => length > 0)
  if (parts.length === 1) return parts[0]!
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  const joined: Record<(typeof fixed)[number], Float64Array> = {
    times: new Float64Array(length),
    steady: new Float64Array(length),
    identity: new Float64Array(length),
    quality: new Float64Array(length),
  }
  const names = new Set(parts.flatMap(({ columns }) => [...columns.keys()]))
  const columns = new Map([...names].map((name) => [name, new Float64Array(length).fill(NaN)]))
  const identities: Identity[] = []
  let at = 0
  for (const part of parts) {
    for (const name of fixed) joined[name].set(part[name], at)
    const places = part.identities.map((identity) => placeOf(identities, identity))
    for (let row = 0; row < part.length; row++) joined.identity[at + row] = places[part.identity[row]!] ?? 0
    for (const [name, array] of part.columns) columns.get(name)!.set(array, at)
    at += part.length
  }
  return { length, ...joined, identities, columns }
}

/** Index of an identity in the list, which gets it if it has not. */
export function placeOf(identities: Identity[], { id, node }: Identity): number {
  const found = identities.findIndex((each) => each.id === id && each.node === node)
  return found >= 0 ? found : identities.push({ id, node }) - 1
}
