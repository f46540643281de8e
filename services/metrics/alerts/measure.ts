import type { Condition } from '#shared/contracts/metrics/alert-parts.ts'
import { currentOf, type Current } from '../collect/current.ts'
import { intervalOf, ringOf } from '../collect/subjects.ts'
import { edgesOf, intervalFor } from '../history/buckets.ts'
import type { SubjectName } from '../history/chunks.ts'
import { readHistory } from '../history/query.ts'
import { checkValue } from './checks.ts'
import { type Moment, trendValue } from './values.ts'

/** A trend over hours changes slowly: its history is read again after this part of its window. */
const keptShare = 1 / 60
const points = 120

/** Reads the values that rules judge. All rules of one turn share what was read. */
export function createMeasuring() {
  let turn = 0
  const currents = new Map<SubjectName, { turn: number; current: Current }>()
  const trends = new Map<string, { until: number; moments: Moment[] }>()
  /** When a subject was first looked at: absence counts from then on. */
  const seen = new Map<string, number>()

  const current = (subject: SubjectName, now: number): Current => {
    const known = currents.get(subject)
    if (known?.turn === turn) return known.current
    const found = currentOf(subject, now)
    currents.set(subject, { turn, current: found })
    return found
  }

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
    if (current(subject, now).values[metric] !== null) seen.set(key, now)
    if (!seen.has(key)) seen.set(key, now)
    return (now - seen.get(key)!) / 1000
  }

  return {
    /** Begins a turn, and forgets the subjects that are not judged any more. */
    begin(subjects: ReadonlySet<string>): void {
      turn++
      for (const subject of currents.keys()) if (!subjects.has(subject)) currents.delete(subject)
      for (const map of [trends, seen])
        for (const key of map.keys()) if (!subjects.has(key.slice(0, key.indexOf(' ')))) map.delete(key)
    },
    /** The value of a condition, or null if it is missing. */
    async valueOf(condition: Condition, subject: SubjectName | 'system', now: number): Promise<number | null> {
      if (condition.kind === 'check') return checkValue(condition.check)
      if (subject === 'system') return null
      const { metric } = condition
      if (condition.kind === 'threshold') return current(subject, now).values[metric] ?? null
      if (condition.kind === 'absence') return absenceOf(subject, metric, now)
      return trendValue(condition, await momentsOf(subject, metric, condition.over, now), now / 1000)
    },
  }
}
