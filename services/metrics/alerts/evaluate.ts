import { setImmediate as turn } from 'node:timers/promises'
import type { Alert, Rule } from '#shared/contracts/metrics/alert-parts.ts'
import { event } from '#shared/events/event.ts'
import { newId } from '#shared/ids.ts'
import { ConflictError } from '#shared/errors.ts'
import { activeKey, type Book } from './book.ts'
import { announcementOf, type Changes, type Step, stepOf } from './judge.ts'
import { verdictOf } from './machine.ts'
import { alertRecords, type AlertRecord } from './models.ts'
import type { Judged } from './scope.ts'
import { thresholdsOf } from './values.ts'

/** Everything that one turn needs from outside. */
export type World = {
  now: number
  subjectsOf: (rule: Rule) => readonly Judged[]
  valueOf: (rule: Rule, subject: Judged['subject']) => Promise<number | null>
}

/** Subjects between which others have their turn: a fleet has ten thousand. */
const judgedAtOnce = 200

const textOf = (time: number) => new Date(time).toISOString()

/**
 * One turn: judges every rule for its subjects, writes what has changed, then the messages that are due. A message, its
 * event and its deliveries are written together with the state that they tell of, so that no crash loses or doubles one.
 * @returns true if messages wait for outlets
 */
export async function evaluate(book: Book, world: World): Promise<boolean> {
  const judged = new Set<string>()
  for (const rule of book.rules) {
    if (!rule.enabled) continue
    for (const subject of world.subjectsOf(rule)) {
      judged.add(activeKey(rule.id, subject.subject))
      await judge(book, world, rule, subject)
      if (judged.size % judgedAtOnce === 0) await turn()
    }
  }
  for (const [key, alert] of book.active) if (!judged.has(key)) await end(book, alert, world.now)
  let isWaiting = false
  for (const alert of book.active.values()) isWaiting = (await announce(book, alert, world.now)) || isWaiting
  return isWaiting
}

async function judge(book: Book, world: World, rule: Rule, subject: Judged): Promise<void> {
  const key = activeKey(rule.id, subject.subject)
  const known = book.active.get(key)
  const value = await world.valueOf(rule, subject.subject)
  const verdict = verdictOf(value, thresholdsOf(rule.condition))
  const step = stepOf(known, verdict, rule, world.now)
  if (step === null) return
  await write(book, key, known, step, () => ({ rule, subject, value, now: world.now }))
}

type About = { rule: Rule; subject: Judged; value: number | null; now: number }

async function write(
  book: Book,
  key: string,
  known: AlertRecord | undefined,
  step: NonNullable<Step>,
  about: () => About,
): Promise<void> {
  if (step.do === 'remove') {
    await alertRecords.remove(known!).catch(ignoreConflict)
    book.active.delete(key)
    return
  }
  const { rule, subject, value, now } = about()
  const told = { value, message: messageOf(rule, subject, value) }
  if (step.do === 'begin' && !known) {
    const made = await alertRecords.insert({ ...newAlert(key, rule, subject, now), ...told, ...step.set })
    book.active.set(key, made)
    return
  }
  if (!known) return
  // An alert that fires again before its end was told goes on.
  const again = step.do === 'begin' ? { resolved_at: null } : {}
  await change(book, known, { ...told, ...again, ...step.set })
}

/** Writes a change, if nobody else has changed the alert. Else the alert is read again, and judged in the next turn. */
async function change(book: Book, alert: AlertRecord, set: Changes, told?: 'triggered' | 'resolved') {
  const key = alert.active!
  const events = told ? [eventOf(told, alert)] : []
  const changed = await alertRecords.updateWhere(
    { _id: alert.id, version: (alert as { version: number }).version },
    { set, events },
  )
  const found = changed ?? (await alertRecords.get(alert.id))
  if (found?.active === undefined) book.active.delete(key)
  else book.active.set(key, found)
  return changed
}

/** Ends an alert whose rule or subject is not there any more. */
async function end(book: Book, alert: AlertRecord, now: number): Promise<void> {
  if (alert.phase === 'resolved') return
  if (alert.phase === 'pending') {
    await alertRecords.remove(alert).catch(ignoreConflict)
    book.active.delete(alert.active!)
  } else await change(book, alert, { phase: 'resolved', resolved_at: textOf(now), closed_since: null })
}

async function announce(book: Book, alert: AlertRecord, now: number): Promise<boolean> {
  const due = announcementOf(alert, book.silences, book.outlets, now)
  if (!due) return alert.waiting !== undefined
  const changed = await change(book, alert, due.set, due.event ?? undefined)
  return changed?.waiting !== undefined
}

function newAlert(
  key: string,
  rule: Rule,
  { subject, resource, tags }: Judged,
  now: number,
): Omit<AlertRecord, 'version'> {
  return {
    id: newId(),
    rule: rule.id,
    name: rule.name,
    severity: rule.severity,
    subject,
    resource,
    phase: 'pending',
    message: '',
    value: null,
    pending_since: textOf(now),
    firing_since: null,
    resolved_at: null,
    announced: 'nothing',
    silenced_by: [],
    acknowledged: null,
    created_at: textOf(now),
    updated_at: textOf(now),
    active: key,
    closed_since: null,
    tags: [...tags],
    deliveries: [],
  }
}

/** One sentence for people: the rule, the subject, and the value with its threshold. */
export function messageOf(
  { description, name, condition }: Rule,
  { subject }: Pick<Judged, 'subject'>,
  value: number | null,
) {
  const what = description || name
  if (value === null) return `${what}: ${subject} has no value`
  const number = Math.round(value * 100) / 100
  const { above, below } = thresholdsOf(condition)
  const limit = above === undefined ? `below ${below}` : `above ${above}`
  const metric = condition.kind === 'check' ? condition.check : condition.metric
  return `${what}: ${metric} of ${subject} is ${number} (threshold: ${limit})`
}

function eventOf(told: 'triggered' | 'resolved', { id, name, severity, resource, message }: Alert | AlertRecord) {
  const data = { alert_id: id, name, severity, resource, message, timestamp: textOf(Date.now()) }
  return told === 'triggered' ? event('AlertTriggered', data) : event('AlertResolved', data)
}

const ignoreConflict = (error: unknown) => {
  if (!(error instanceof ConflictError)) throw error
}
