import type { Condition } from '#shared/contracts/metrics/alert-parts.ts'

/** A moment and its value. Seconds since any beginning. */
export type Moment = { seconds: number; value: number }

/** Slope and mean of the least squares line; null for fewer than three moments. */
export function lineOf(moments: readonly Moment[]): { slope: number; at: (seconds: number) => number } | null {
  const count = moments.length
  if (count < 3) return null
  const mean = (of: (moment: Moment) => number) => moments.reduce((sum, moment) => sum + of(moment), 0) / count
  const [time, value] = [mean(({ seconds }) => seconds), mean(({ value }) => value)]
  const spread = moments.reduce((sum, { seconds }) => sum + (seconds - time) ** 2, 0)
  if (spread === 0) return null
  const slope = moments.reduce((sum, each) => sum + (each.seconds - time) * (each.value - value), 0) / spread
  return { slope, at: (seconds) => value + slope * (seconds - time) }
}

type Trend = Condition & { kind: 'rate' | 'forecast' }

/**
 * The value of a condition about a trend: the growth for each second, or the value that is ahead. Null if less than a
 * third of the window was measured.
 */
export function trendValue(condition: Trend, moments: readonly Moment[], now: number): number | null {
  const first = moments[0]
  const line = lineOf(moments)
  if (!first || !line || now - first.seconds < condition.over / 3) return null
  return condition.kind === 'rate' ? line.slope : line.at(now + condition.within)
}

/** The thresholds of a condition. Absence is a time without a value that is too long. */
export const thresholdsOf = (condition: Condition): { above?: number; below?: number; clear?: number } =>
  condition.kind === 'absence' ? { above: condition.after } : condition
