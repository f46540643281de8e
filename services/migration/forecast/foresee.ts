import type { Forecast, MemoryProbe } from '#shared/contracts/migration/forecast.ts'
import type { PostCopy } from '#shared/contracts/migration/migrations.ts'
import { type Course, courseOf } from './precopy.ts'
import { type Done, fewest, type Figure, figures, median, outcomeOf, rangeOf, ratiosOf } from './ranges.ts'

const MiB = 2 ** 20

export type Foreseen = {
  memory: MemoryProbe
  diskBytes: number
  limitMib: number
  autoConverge: boolean
  maxPauseMs: number
  /** Completed migrations between the two nodes. */
  between: Done[]
  /** Completed migrations of all nodes. */
  all: Done[]
}

/** Shorter transfers tell more of their fixed costs than of the network. */
const leastBytes = 256 * MiB
/** A rate below this share of its limit was bound by something else. */
const boundPart = 0.8

/** The bandwidth of two nodes: the limit, or less when earlier migrations did not reach theirs. */
export function bandwidthOf(limitMib: number, between: Done[]): { mib: number; source: 'limit' | 'measured' } {
  const rates = between.flatMap((done) => {
    const { seconds, bytes } = outcomeOf(done)
    if (!seconds || bytes === null || bytes < leastBytes) return []
    const rate = bytes / MiB / seconds
    return rate < done.bandwidth_limit * boundPart ? [rate] : []
  })
  const measured = median(rates)
  return measured !== null && measured < limitMib
    ? { mib: measured, source: 'measured' }
    : { mib: limitMib, source: 'limit' }
}

const mean = (low: number, high: number) => (low + high) / 2
const verdict = (one: Course, other: Course) =>
  one.converges === other.converges ? (one.converges ? 'yes' : 'no') : ('uncertain' as const)

/**
 * Foretells the transfer of a guest that runs. Sampled pages tell how much memory changes within a second, not how much
 * changes in all: two courses are computed, with the least and the largest working set that agree with that.
 */
export function foresee({ memory, diskBytes, limitMib, autoConverge, maxPauseMs, between, all }: Foreseen): Forecast {
  const { mib, source } = bandwidthOf(limitMib, between)
  const memoryMib = Math.min(memory.memory_mib, memory.used_mib ?? memory.memory_mib)
  const dirty = memory.dirty_mib_per_second
  const of = { memoryMib, dirtyMibPerSecond: dirty ?? 0, bandwidthMibPerSecond: mib, maxPauseMs, autoConverge }
  const least = courseOf({ ...of, workingSetMib: Math.min(memoryMib, dirty ?? 0) })
  const largest = courseOf({ ...of, workingSetMib: memoryMib })
  const residualMib = mean(least.residualMib, largest.residualMib)
  const points: Record<Figure, number> = {
    seconds: diskBytes / MiB / mib + mean(least.seconds, largest.seconds),
    pause_ms: (residualMib / mib) * 1000,
    bytes: diskBytes + mean(least.sentMib, largest.sentMib) * MiB,
  }
  // A pause has fixed costs, and a residual of nothing has no ratio.
  points.pause_ms = Math.max(points.pause_ms, 10)
  const measured = source === 'measured' ? mib : null
  const ranges = figures.map((figure) => {
    const known = ratiosOf(between, figure, measured)
    return rangeOf(figure, points[figure], known.length >= fewest ? known : ratiosOf(all, figure, measured))
  })
  const [seconds, pause_ms, bytes] = ranges.map(({ samples: _, ...range }) => range)
  return {
    seconds: seconds!,
    pause_ms: pause_ms!,
    bytes: bytes!,
    points,
    convergence: verdict(least, largest),
    iterations: Math.round(mean(least.iterations, largest.iterations)),
    residual_bytes: Math.round(residualMib * MiB),
    dirty_bytes_per_second: dirty === null ? null : Math.round(dirty * MiB),
    bandwidth_mib_s: mib,
    bandwidth_source: source,
    samples: Math.min(...ranges.map(({ samples }) => samples)),
  }
}

/** Words for a forecast without an end; null for others. */
export function doubtOf(
  { convergence, residual_bytes, bandwidth_mib_s }: Forecast,
  postCopy: PostCopy = 'never',
): string | null {
  if (convergence === 'yes') return null
  const word = convergence === 'no' ? 'will not' : 'may not'
  const rest = `about ${Math.round(residual_bytes / MiB)} MiB of its memory are left to send at ${Math.round(bandwidth_mib_s)} MiB/s`
  if (postCopy === 'when_not_converging')
    return `By the forecast its move ${word} come to an end by itself: ${rest}. It then goes over to post-copy, which takes at least ${Math.ceil(residual_bytes / MiB / bandwidth_mib_s)} s, cannot be cancelled, and stops the guest if the network between the nodes is cut`
  return `By the forecast its move ${word} come to an end: ${rest}. Use more bandwidth, auto_converge, or offline`
}
