import type { Alert, Rule, Silence } from '#shared/contracts/metrics/alert-parts.ts'
import { dueMessage, next, type State, type Verdict } from './machine.ts'
import type { AlertRecord, OutletRecord, StoredDelivery } from './models.ts'

const textOf = (time: number) => new Date(time).toISOString()

/** Fields of an alert that change; an undefined one is removed. */
export type Changes = { [K in keyof AlertRecord]?: AlertRecord[K] | undefined }

/** The state of an alert as it is stored. */
export function stateOf(alert: AlertRecord | undefined): State {
  if (!alert || alert.phase === 'resolved') return { phase: 'ok' }
  if (alert.phase === 'pending') return { phase: 'pending', since: Date.parse(alert.pending_since) }
  const { firing_since, closed_since } = alert
  return {
    phase: 'firing',
    since: Date.parse(firing_since ?? alert.pending_since),
    closedSince: closed_since === null ? null : Date.parse(closed_since),
  }
}

/** A change of an alert: made, changed or removed. Null: nothing to write. */
export type Step = { do: 'begin'; set: Partial<AlertRecord> } | { do: 'change'; set: Changes } | { do: 'remove' } | null

/** The change of the stored alert that the next state needs. A pending alert that does not hold any more leaves no trace. */
export function stepOf(alert: AlertRecord | undefined, verdict: Verdict, rule: Rule, now: number): Step {
  const before = stateOf(alert)
  const after = next(before, verdict, rule, now)
  if (after === before) return null
  if (after.phase === 'ok') {
    if (before.phase === 'ok') return null
    if (before.phase === 'pending') return { do: 'remove' }
    return { do: 'change', set: { phase: 'resolved', resolved_at: textOf(now), closed_since: null } }
  }
  const set: Partial<AlertRecord> =
    after.phase === 'pending'
      ? { phase: 'pending', pending_since: textOf(after.since) }
      : {
          phase: 'firing',
          firing_since: textOf(after.since),
          closed_since: after.closedSince === null ? null : textOf(after.closedSince),
        }
  if (before.phase === 'ok') return { do: 'begin', set: { pending_since: textOf(now), ...set } }
  const isSame = before.phase === 'pending' && after.phase === 'pending' && before.since === after.since
  return isSame ? null : { do: 'change', set }
}

/** Checks that a silence holds back messages of an alert now. */
export function isSilencedBy(
  silence: Silence,
  alert: Pick<AlertRecord, 'rule' | 'subject' | 'severity' | 'tags'>,
  now: number,
) {
  if (now < Date.parse(silence.starts_at) || now >= Date.parse(silence.ends_at)) return false
  const { rule, subject, tag, severity } = silence
  const fits = (pattern: string) =>
    pattern.endsWith('*') ? alert.subject.startsWith(pattern.slice(0, -1)) : alert.subject === pattern
  return (
    (rule === null || rule === alert.rule) &&
    (subject === null || fits(subject)) &&
    (tag === null || alert.tags.includes(tag)) &&
    (severity === null || severity === alert.severity)
  )
}

const severities = ['info', 'warning', 'critical']
const takes = (outlet: OutletRecord, severity: Alert['severity']) =>
  outlet.enabled && severities.indexOf(severity) >= severities.indexOf(outlet.least_severity)

/** The message that is due, unless a silence holds it back, with one delivery for each outlet. */
export function announcementOf(
  alert: AlertRecord,
  silences: readonly Silence[],
  outlets: readonly OutletRecord[],
  now: number,
): { event: 'triggered' | 'resolved' | null; set: Changes } | null {
  const event = dueMessage(alert.phase, alert.announced)
  // Resolved without a message that it fired: nobody has to be told.
  const isSettled = alert.phase === 'resolved' && event === null && alert.active !== undefined
  if (isSettled) return { event: null, set: { active: undefined } }
  if (event === null) return null
  const holding = silences.filter((silence) => isSilencedBy(silence, alert, now)).map(({ id }) => id)
  if (holding.length > 0) {
    const silenced_by = [...new Set([...alert.silenced_by, ...holding])]
    return silenced_by.length === alert.silenced_by.length ? null : { event: null, set: { silenced_by } }
  }
  const made = outlets
    .filter((outlet) => takes(outlet, alert.severity))
    .map((outlet) => deliveryOf(alert.id, outlet.id, event, now))
  const deliveries = [...alert.deliveries, ...made]
  const set = {
    announced: event,
    deliveries,
    waiting: waitingIn(deliveries),
    ...(event === 'resolved' && { active: undefined }),
  }
  return { event, set }
}

/** The outlets of waiting deliveries; undefined for none, so that the sparse index has only alerts with some. */
export function waitingIn(deliveries: readonly StoredDelivery[]): string[] | undefined {
  const outlets = [...new Set(deliveries.filter(({ state }) => state === 'waiting').map(({ outlet }) => outlet))]
  return outlets.length === 0 ? undefined : outlets
}

/** The id follows from alert, message and outlet, so that a repetition has the same. */
const deliveryOf = (alert: string, outlet: string, event: 'triggered' | 'resolved', now: number): StoredDelivery => ({
  id: `${alert}.${event}.${outlet}`,
  outlet,
  event,
  state: 'waiting',
  attempts: 0,
  next_at: textOf(now),
  error: null,
  made_at: textOf(now),
  sent_at: null,
})
