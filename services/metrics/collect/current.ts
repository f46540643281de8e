import { columnNames, series as catalogue, type SubjectKind, subjectKinds } from '#shared/contracts/metrics/catalog.ts'
import type { MissingReason, Quality } from '#shared/contracts/metrics/monitoring.ts'
import { kindOf, type SubjectName } from '../history/chunks.ts'
import { eachValue } from '../history/series.ts'
import { qualityOf, reasonOf, type Table } from '../history/table.ts'
import { intervalOf, ringOf } from './subjects.ts'

/** The newest numbers of a subject: gauges and rates. A missing one is null, with its reason. */
export type Current = {
  source: string | null
  quality: Quality
  /** Milliseconds since 1970; null if nothing was ever measured here. */
  time: number | null
  values: Record<string, number | null>
  missing: Record<string, MissingReason>
  because: string | null
}

/** Samples that are older than so many intervals say nothing of now. */
const staleAfter = 2.5

/** The percentages and rates that events and views of all kinds of subjects tell. */
export const toldRates = [
  'cpu_percent',
  'memory_percent',
  'disk_read_bytes_per_second',
  'disk_written_bytes_per_second',
  'network_received_bytes_per_second',
  'network_sent_bytes_per_second',
]

const all = Object.fromEntries(
  subjectKinds.map((kind) => [kind, [...new Set([...columnNames(kind), ...Object.keys(catalogue[kind])])]]),
)

/** The columns that some numbers are made of, by the list of their names. */
const columnsOf = new WeakMap<readonly string[], Map<SubjectKind, readonly string[]>>()

function columnsFor(kind: SubjectKind, names: readonly string[]): readonly string[] {
  const ofNames = columnsOf.get(names) ?? new Map<SubjectKind, readonly string[]>()
  columnsOf.set(names, ofNames)
  const known = ofNames.get(kind)
  if (known) return known
  const series = names.flatMap((name) => catalogue[kind][name] ?? [])
  const found = [...new Set([...names, ...series.flatMap(({ column, share }) => [column, share ?? column])])]
  ofNames.set(kind, found)
  return found
}

/**
 * The newest numbers of a subject, out of its last two rows.
 * @param names only these numbers, in a list that is kept: of a fleet only those are worked out that are asked for
 */
export function currentOf(
  subject: SubjectName,
  now: number,
  names: readonly string[] = all[kindOf(subject)]!,
): Current {
  const ring = ringOf(subject)
  const interval = intervalOf(subject)
  if (!ring || ring.size() === 0) return nothing(names, 'not_measured')
  const time = ring.lastTime()
  const { source, because } = ring.last()
  const rows = ring.tail(2, time - staleAfter * interval, columnsFor(kindOf(subject), names))
  const code = rows.quality.at(-1)!
  if (now - time > staleAfter * interval && reasonOf(code) !== 'gone')
    return { ...nothing(names, 'stale'), source, time, quality: 'stale', because }
  const quality = qualityOf(code)
  const found = newest(subject, rows, names, interval)
  const reason = quality === 'missing' ? reasonOf(code) : undefined
  const values: Current['values'] = {}
  const missing: Current['missing'] = {}
  for (const name of names) {
    values[name] = found.values[name] ?? null
    if (values[name] === null) missing[name] = reason ?? found.missing[name] ?? 'not_measured'
  }
  return { source, quality, time, values, missing, because }
}

function nothing(names: readonly string[], reason: MissingReason): Current {
  return {
    source: null,
    quality: 'missing',
    time: null,
    values: Object.fromEntries(names.map((name) => [name, null])),
    missing: Object.fromEntries(names.map((name) => [name, reason])),
    because: null,
  }
}

/** Gauges and rates of the last of some rows. */
function newest(subject: SubjectName, table: Table, names: readonly string[], intervalMs: number) {
  const values: Record<string, number> = {}
  const missing: Record<string, MissingReason> = {}
  const row = table.length - 1
  const known = catalogue[kindOf(subject)]
  for (const name of names) {
    const column = table.columns.get(name)
    if (column && !Number.isNaN(column[row]!)) values[name] = column[row]!
    const series = known[name]
    if (!series) continue
    eachValue(
      table,
      series,
      intervalMs,
      (index, value) => index === row && (values[name] = value),
      (index, reason) => index === row && (missing[name] = reason),
    )
  }
  return { values, missing }
}
