export type Sample = { at: string; available: Record<string, number> }

/** Fewest samples, and the shortest time that they span, from which a rate is told. */
const fewest = 4
const shortestMs = 30 * 60_000
/** A later end is no forecast. */
const furthestMs = 5 * 365 * 86_400_000

/** When the available bytes end at the rate of the samples, by the method of least squares; null when they do not. */
export function fullAt(samples: Sample[], name: string, nowMs: number): string | null {
  const points = samples.flatMap(({ at, available }) =>
    available[name] === undefined ? [] : [{ ms: Date.parse(at), bytes: available[name] }],
  )
  const [first, last] = [points[0], points.at(-1)]
  if (!first || !last || points.length < fewest || last.ms - first.ms < shortestMs) return null
  const mean = (of: (point: (typeof points)[number]) => number) =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length
  const [time, bytes] = [mean(({ ms }) => ms), mean((point) => point.bytes)]
  const spread = mean(({ ms }) => (ms - time) ** 2)
  const bytesPerMs = mean((point) => (point.ms - time) * (point.bytes - bytes)) / spread
  if (bytesPerMs >= 0) return null
  const endMs = last.ms + last.bytes / -bytesPerMs
  return endMs - nowMs > furthestMs ? null : new Date(Math.max(endMs, nowMs)).toISOString()
}
