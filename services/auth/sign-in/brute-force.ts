import { Type } from 'typebox'
import { v7 } from 'uuid'
import type { Caller } from '#shared/access/access.ts'
import { recordAudit } from '#shared/audit/audit.ts'
import { strict, Time, Version } from '#shared/contracts/common.ts'
import { findAndUpdate, removeAll, update } from '#shared/db/guarded.ts'
import { modelOf } from '#shared/db/model.ts'
import { RateLimitedError } from '#shared/errors.ts'
import { event, now } from '#shared/events/event.ts'
import { flushAll, flushSoon, sweepOutboxOf } from '#shared/db/outbox.ts'
import { log } from '#shared/runtime/log.ts'

/** Failed attempts of a subject; `id` is for example `user:bob` or `address:192.0.2.7`. */
const Guess = strict({ id: Type.String(), time: Type.Integer(), version: Version })
const Guessing = strict({
  id: Type.String(),
  attempts: Type.Array(Guess),
  until: Time,
  told_at: Type.Optional(Time),
  version: Version,
})
const model = modelOf('sign_in_attempts', Guessing, [{ fields: { until: 1 } }], { hasEvents: true })
sweepOutboxOf(model)

export const windowMs = 15 * 60_000
export const freeAttempts = 10
const maxDelayMs = 15 * 60_000
const keptAttempts = 100

/** Delay before the next attempt, by the number of failures in the last 15 minutes. Milliseconds. */
export function delayAfter(failures: number): number {
  return failures < freeAttempts ? 0 : Math.min(maxDelayMs, 1000 * 2 ** Math.min(20, failures - freeAttempts))
}

type Attempt = { id: string; time: number }
/** A running attempt. It counts as a failure until it succeeds, so that parallel attempts gain nothing. */
export type Guarded = { succeeded: () => Promise<void>; withdraw: () => Promise<void> }

/**
 * Counts a sign-in attempt for each of these subjects over all replicas, before the credential is checked.
 * @throws RateLimitedError after too many recent failures
 */
export async function guard(subjects: string[], caller: Caller, requestId: string): Promise<Guarded> {
  const attempt: Attempt = { id: v7(), time: Date.now() }
  const counted: string[] = []
  const withdraw = async () => {
    for (const subject of counted) await pull(subject, attempt)
  }
  for (const subject of subjects) {
    const earlier = await push(subject, attempt)
    counted.push(subject)
    const waitMs = (earlier.at(-1)?.time ?? 0) + delayAfter(earlier.length) - attempt.time
    if (earlier.length >= freeAttempts && waitMs > 0) {
      await withdraw()
      await tell(subject, earlier.length, caller, requestId)
      throw tooOften(subject, Math.ceil(waitMs / 1000))
    }
  }
  return {
    withdraw,
    succeeded: () =>
      forget(
        counted.filter((subject) => subject.startsWith('user:')),
        withdraw,
      ),
  }
}

function tooOften(subject: string, seconds: number) {
  return new RateLimitedError(
    `Too many failed attempts for this ${subject.split(':')[0]}; the next one is looked at in ${seconds} s`,
    { retryable: true, details: { retry_after_seconds: seconds } },
  )
}

/** Adds an attempt. @returns the earlier failures that still count, oldest first */
async function push(subject: string, attempt: Attempt): Promise<Attempt[]> {
  const until = new Date(attempt.time + windowMs).toISOString()
  const change = {
    $push: { attempts: { $each: [attempt], $slice: -keptAttempts } },
    $set: { until },
    $inc: { version: 1 },
  }
  const write = () => findAndUpdate<{ attempts: Attempt[] }>(model, { _id: subject }, change, { upsert: true })
  // If two replicas insert the document at once, one gets a duplicate key error and updates on the second try.
  const { attempts } = (await write().catch(() => write()))!
  const mine = attempts.findIndex(({ id }) => id === attempt.id)
  return attempts.slice(0, mine).filter(({ time }) => time > attempt.time - windowMs)
}

const pull = (subject: string, { id }: Attempt) => update(model, { _id: subject }, { $pull: { attempts: { id } } })

async function forget(users: string[], withdraw: () => Promise<void>): Promise<void> {
  await withdraw()
  // Only the failures of the user are cleared: an address may be shared by many.
  if (users.length > 0) await remove({ _id: { $in: users } })
}

const tellEveryMs = 60_000

/** Audits, logs and alerts once a minute for each subject, over all replicas. */
async function tell(subject: string, failures: number, caller: Caller, requestId: string): Promise<void> {
  const [kind, name] = [subject.slice(0, subject.indexOf(':')), subject.slice(subject.indexOf(':') + 1)]
  const message = `${failures} failed attempts within 15 minutes for the ${kind} ${name}`
  const path = '/api/auth/login'
  const about = { name: 'brute_force', severity: 'critical' as const, resource: path, message, timestamp: now() }
  const alert = event('AlertTriggered', { alert_id: v7(), ...about })
  const before = new Date(Date.now() - tellEveryMs).toISOString()
  const untold = { _id: subject, $or: [{ told_at: { $exists: false } }, { told_at: { $lt: before } }] }
  const change = { $set: { told_at: now() }, $push: { outbox: alert }, $inc: { version: 1 } }
  const told = await findAndUpdate(model, untold, change)
  if (!told) return
  flushSoon(model, told)
  log('auth').warn({ subject, failures }, 'possible brute-force attack on the sign-in')
  await recordAudit({
    caller,
    ...(kind === 'user' && { user: name }),
    kind: 'brute_force_detected',
    path,
    action: 'auth.login',
    result: 'denied',
    severity: 'critical',
    request_id: requestId,
    message,
  })
}

async function remove(filter: Record<string, unknown>): Promise<void> {
  await flushAll(model, filter)
  await removeAll(model, filter)
}

export const sweepAttempts = () => remove({ until: { $lt: now() } })
