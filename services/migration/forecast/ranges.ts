import type { Forecast } from '#shared/contracts/migration/forecast.ts'
import type { Migration } from '#shared/contracts/migration/migrations.ts'

/** The middle of a list of numbers; null for none. */
export const median = (numbers: number[]): number | null =>
  numbers.length === 0
    ? null
    : quantile(
        numbers.toSorted((a, b) => a - b),
        0.5,
      )

type Range = Forecast['seconds']
export type Figure = 'seconds' | 'pause_ms' | 'bytes'
export const figures: readonly Figure[] = ['seconds', 'pause_ms', 'bytes']

/** Measured figures of a migration of a guest that ran; null where they are not known. */
export function outcomeOf({ statistics }: Pick<Migration, 'statistics'>): Record<Figure, number | null> {
  if (!statistics) return { seconds: null, pause_ms: null, bytes: null }
  const { elapsed_ms, downtime_ms, ram_transferred_bytes: ram, disk_transferred_bytes: disk } = statistics
  return { seconds: elapsed_ms === null ? null : elapsed_ms / 1000, pause_ms: downtime_ms, bytes: ram + disk }
}

export const isWithin = ({ low, high }: Range, value: number) => value >= low && value <= high

/** A completed migration, as forecasts learn from it. */
export type Done = Pick<Migration, 'forecast' | 'statistics' | 'bandwidth_limit'>

/**
 * Outcomes divided by the points of their forecasts. Points of times are taken as the bandwidth that is known now would
 * have made them, so that a slow network does not count twice.
 * @param measuredMib bandwidth by earlier migrations; null when none was slower than its limit
 */
export const ratiosOf = (done: Done[], figure: Figure, measuredMib: number | null): number[] =>
  done.flatMap(({ forecast, bandwidth_limit, ...migration }) => {
    const value = outcomeOf(migration)[figure]
    if (!forecast || value === null) return []
    const bandwidth = Math.min(bandwidth_limit, measuredMib ?? Infinity)
    const correction = figure === 'bytes' ? 1 : forecast.bandwidth_mib_s / bandwidth
    const point = forecast.points[figure] * correction
    return point > 0 ? [value / point] : []
  })

/** Fewer outcomes than these make no range. */
export const fewest = 8
/** Shares of earlier outcomes below the ends of a range, and slack beyond them, since few samples miss the extremes. */
const ends = { low: 0.05, median: 0.5, high: 0.95 }
const slack = 1.15

function quantile(sorted: number[], share: number): number {
  const at = share * (sorted.length - 1)
  const [below, above] = [sorted[Math.floor(at)]!, sorted[Math.ceil(at)]!]
  return below + (above - below) * (at - Math.floor(at))
}

/** Factors of the ends of a range where nothing is known yet, and an addition to the upper end for fixed costs. */
const guess: Record<Figure, { low: number; high: number; more: number }> = {
  seconds: { low: 0.3, high: 2, more: 3 },
  pause_ms: { low: 0.1, high: 2, more: 300 },
  bytes: { low: 0.1, high: 1.5, more: 16 * 2 ** 20 },
}

/**
 * The range of a figure: its point scaled by the ratios of earlier outcomes to their points, or a wide guess without enough
 * of them.
 */
export function rangeOf(figure: Figure, point: number, ratios: number[]): Range & { samples: number } {
  if (ratios.length < fewest) {
    const { low, high, more } = guess[figure]
    return { low: point * low, median: point, high: point * high + more, samples: 0 }
  }
  const sorted = ratios.toSorted((a, b) => a - b)
  return {
    low: (point * quantile(sorted, ends.low)) / slack,
    median: point * quantile(sorted, ends.median),
    high: point * quantile(sorted, ends.high) * slack,
    samples: ratios.length,
  }
}
