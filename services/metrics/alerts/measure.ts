import type { Condition } from '#shared/contracts/metrics/alert-parts.ts'
import { currentOf } from '../collect/current.ts'
import { intervalOf, ringOf } from '../collect/subjects.ts'
import { edgesOf, intervalFor } from '../history/buckets.ts'
import type { SubjectName } from '../history/chunks.ts'
import { readHistory } from '../history/query.ts'
import { checkValue } from './checks.ts'
import { type Moment, trendValue } from './values.ts'

/** A trend over hours changes slowly: its history is read again after this part of its window. */
const keptShare = 1 / 60
const points = 120

/** Lists of one name, kept: a current value is worked out by its list. */
const lists = new Map<string, readonly string[]>()
function listOf(metric: string): readonly string[] {
  const known = lists.get(metric) ?? [metric]
  lists.set(metric, known)
  return known
}

/** Reads the values that rules judge. All rules of one turn share what was read. */
export function createMeasuring() {
  const trends = new Map<string, { until: number; moments: Moment[] }>()
  /** When a subject was first looked at: absence counts from then on. */
  const seen = new Map<string, number>()

  /** The newest value of one metric: of a fleet nothing else is worked out for it. */
  const currentValue = (subject: SubjectName, metric: string, now: number): number | null =>
    currentOf(subject, now, listOf(metric)).values[metric] ?? null

  const momentsOf = async (subject: SubjectName, metric: string, overSeconds: number, now: number) => {
    const key = `${subject} ${metric} ${overSeconds}`
    const known = trends.get(key)
    if (known && known.until > now) return known.moments
    const from = now - overSeconds * 1000
    const interval = intervalFor(Math.max(overSeconds * 1000, points * intervalOf(subject)), points)
    const asked = {
      subject,
      metric,
      edges: edgesOf(from, now, interval),
      interval,
      intervalMs: intervalOf(subject),
      now,
    }
    const { data } = await readHistory(asked, ringOf(subject))
    const moments = data.flatMap(({ time, avg, seconds }) =>
      avg === null ? [] : [{ seconds: Date.parse(time) / 1000 + seconds / 2, value: avg }],
    )
    trends.set(key, { until: now + overSeconds * 1000 * keptShare, moments })
    return moments
  }

  /** Seconds since the last value of a metric. */
  const absenceOf = (subject: SubjectName, metric: string, now: number) => {
    const key = `${subject} ${metric}`
    if (currentValue(subject, metric, now) !== null) seen.set(key, now)
    if (!seen.has(key)) seen.set(key, now)
    return (now - seen.get(key)!) / 1000
  }

  return {
    /** Begins a turn, and forgets the subjects that are not judged any more. */
    begin(subjects: ReadonlySet<string>): void {
      for (const map of [trends, seen])
        for (const key of map.keys()) if (!subjects.has(key.slice(0, key.indexOf(' ')))) map.delete(key)
    },
    /** The value of a condition, or null if it is missing. */
    async valueOf(condition: Condition, subject: SubjectName | 'system', now: number): Promise<number | null> {
      if (condition.kind === 'check') return checkValue(condition.check)
      if (subject === 'system') return null
      const { metric } = condition
      if (condition.kind === 'threshold') return currentValue(subject, metric, now)
      if (condition.kind === 'absence') return absenceOf(subject, metric, now)
      return trendValue(condition, await momentsOf(subject, metric, condition.over, now), now / 1000)
    },
  }
}
