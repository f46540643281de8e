import { columnNames, series as catalogue } from '#shared/contracts/metrics/catalog.ts'
import type { MissingReason, Quality } from '#shared/contracts/metrics/monitoring.ts'
import { kindOf, type SubjectName } from '../history/chunks.ts'
import { eachValue } from '../history/series.ts'
import { emptyTable, qualityOf, reasonOf, slice, type Table } from '../history/table.ts'
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

export function currentOf(subject: SubjectName, now: number): Current {
  const ring = ringOf(subject)
  const interval = intervalOf(subject)
  const kind = kindOf(subject)
  const names = [...new Set([...columnNames(kind), ...Object.keys(catalogue[kind])])]
  const last = ring ? ring.table(ring.lastTime() - staleAfter * interval) : emptyTable()
  if (!ring || last.length === 0) return nothing(names, 'not_measured')
  const time = ring.lastTime()
  const code = last.quality.at(-1)!
  const { source, because } = ring.last()
  if (now - time > staleAfter * interval && reasonOf(code) !== 'gone')
    return { ...nothing(names, 'stale'), source, time, quality: 'stale', because }
  const quality = qualityOf(code)
  const found = newest(subject, slice(last, Math.max(0, last.length - 2), last.length), interval)
  const reason = quality === 'missing' ? reasonOf(code) : undefined
  const missing = Object.fromEntries(
    names
      .filter((name) => found.values[name] === undefined || found.values[name] === null)
      .map((name) => [name, reason ?? found.missing[name] ?? 'not_measured']),
  )
  const values = Object.fromEntries(names.map((name) => [name, found.values[name] ?? null]))
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
function newest(subject: SubjectName, table: Table, intervalMs: number) {
  const values: Record<string, number> = {}
  const missing: Record<string, MissingReason> = {}
  const row = table.length - 1
  for (const [name, column] of table.columns) if (!Number.isNaN(column[row]!)) values[name] = column[row]!
  for (const [name, series] of Object.entries(catalogue[kindOf(subject)]))
    eachValue(
      table,
      series,
      intervalMs,
      (index, value) => index === row && (values[name] = value),
      (index, reason) => index === row && (missing[name] = reason),
    )
  return { values, missing }
}
