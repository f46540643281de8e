import type { MissingReason } from '#shared/contracts/metrics/monitoring.ts'
import type { Series } from '#shared/contracts/metrics/catalog.ts'
import type { Table } from './table.ts'

/** A gap longer than this many intervals is no measurement of the time between. */
const longestGap = 2.5

type Give = (index: number, value: number, weight: number) => void
type Miss = (index: number, reason: MissingReason) => void

/**
 * The values of a series, one for each row: of a gauge the measured number, of a rate the growth since the row before for
 * each second. `weight` is 1 for a gauge and the seconds since the row before for a rate, so that averages are weighted
 * by the time that was measured.
 */
export function eachValue(table: Table, series: Series, intervalMs: number, give: Give, miss?: Miss): void {
  const column = table.columns.get(series.column)
  if (!column) return
  const share = series.share === undefined ? undefined : table.columns.get(series.share)
  const scaled = (index: number, value: number): number => {
    if (series.share === undefined) return value
    const whole = share?.[index] ?? NaN
    // A share of nothing is not measured.
    const percent = whole > 0 ? (value / whole) * 100 : NaN
    return series.isRest ? 100 - percent : percent
  }
  for (let index = 0; index < table.length; index++) {
    const found = series.isRate ? rateAt(table, column, index, intervalMs) : { value: column[index]!, weight: 1 }
    if ('reason' in found) {
      miss?.(index, found.reason)
      continue
    }
    const value = scaled(index, found.value)
    if (Number.isNaN(value)) miss?.(index, 'not_measured')
    else give(index, value, found.weight)
  }
}

type Rate = { value: number; weight: number } | { reason: MissingReason }

function rateAt({ steady, identity }: Table, column: Float64Array, index: number, intervalMs: number): Rate {
  const now = column[index]!
  if (Number.isNaN(now)) return { reason: 'not_measured' }
  if (index === 0) return { reason: 'not_measured' }
  if (identity[index] !== identity[index - 1]) return { reason: 'reset' }
  const before = column[index - 1]!
  const elapsedMs = steady[index]! - steady[index - 1]!
  if (elapsedMs <= 0 || elapsedMs > longestGap * intervalMs) return { reason: 'stale' }
  if (Number.isNaN(before)) return { reason: 'not_measured' }
  if (now < before) return { reason: 'reset' }
  const seconds = elapsedMs / 1000
  return { value: (now - before) / seconds, weight: seconds }
}
