import type { Rule } from '#shared/contracts/metrics/alert-parts.ts'
import { series as catalogue } from '#shared/contracts/metrics/catalog.ts'
import { invalid } from '#shared/errors.ts'
import { intervalOf as sampleIntervalOf, ringOf } from '../collect/subjects.ts'
import { intervalOf } from '../history/buckets.ts'
import type { SubjectName } from '../history/chunks.ts'
import { readHistory } from '../history/query.ts'
import { evenEdges } from '../history/roll-up.ts'
import { next, type State, verdictOf } from './machine.ts'
import type { Judged } from './scope.ts'
import { type Moment, thresholdsOf, trendValue } from './values.ts'

type Tried = Pick<Rule, 'condition' | 'scope' | 'for' | 'keep_firing_for' | 'missing'>
type Episode = { subject: string; triggered_at: string; resolved_at: string | null }

const minuteMs = 60_000
const mostSubjects = 100

let subjectsOfRule: ((rule: Tried) => Promise<readonly Judged[]>) | undefined
/** Sets the search for the subjects of a rule, at the start of the service. */
export const useSubjects = (find: (rule: Tried) => Promise<readonly Judged[]>): void => void (subjectsOfRule = find)

/** The alerts that a rule would have made, minute by minute. @throws ValidationError for a check, which has no past */
export async function tryRule(rule: Tried, hours: number, now: number) {
  if (rule.condition.kind === 'check') throw invalid('condition.kind', 'is a check, of which no past is kept')
  const all = await subjectsOfRule!(rule)
  const tried = all.slice(0, mostSubjects)
  const data: Episode[] = []
  for (const { subject } of tried)
    if (subject !== 'system') data.push(...episodesOf(rule, subject, await pastOf(rule, subject, hours, now)))
  return { data, subjects: tried.length, complete: tried.length === all.length }
}

/** The value of a metric in each minute, null where it is missing. */
export type Past = { time: number; value: number | null }[]

async function pastOf({ condition }: Tried, subject: SubjectName, hours: number, now: number): Promise<Past> {
  if (condition.kind === 'check' || !catalogue[condition.of][condition.metric]) return []
  const edges = evenEdges(now - hours * 60 * minuteMs, now, minuteMs)
  const asked = { subject, metric: condition.metric, edges, interval: intervalOf('1m'), now }
  const { data } = await readHistory({ ...asked, intervalMs: sampleIntervalOf(subject) }, ringOf(subject))
  return data.map(({ time, avg }) => ({ time: Date.parse(time) + minuteMs, value: avg }))
}

/** Runs the rule over a past. */
export function episodesOf(rule: Tried, subject: string, past: Past): Episode[] {
  const episodes: Episode[] = []
  let state: State = { phase: 'ok' }
  let last: number | null = null
  const judge = judgeOf(rule, past)
  for (const [index, { time, value }] of past.entries()) {
    if (value !== null) last = time
    // Before the first value nothing was measured here: that is no absence.
    if (last === null) continue
    const before: State = state
    state = next(before, verdictOf(judge(index, last), thresholdsOf(rule.condition)), rule, time)
    const at = new Date(time).toISOString()
    if (state.phase === 'firing' && before.phase !== 'firing')
      episodes.push({ subject, triggered_at: at, resolved_at: null })
    if (before.phase === 'firing' && state.phase === 'ok') episodes.at(-1)!.resolved_at = at
  }
  return episodes
}

function judgeOf({ condition }: Tried, past: Past): (index: number, last: number) => number | null {
  const seconds = (time: number) => time / 1000
  if (condition.kind === 'absence') return (index, last) => (past[index]!.time - last) / 1000
  if (condition.kind !== 'rate' && condition.kind !== 'forecast') return (index) => past[index]!.value
  const reach = Math.ceil(condition.over / 60)
  return (index) => {
    const moments = past
      .slice(Math.max(0, index - reach), index + 1)
      .flatMap(({ time, value }): Moment[] => (value === null ? [] : [{ seconds: seconds(time), value }]))
    return trendValue(condition, moments, seconds(past[index]!.time))
  }
}
