import { setTimeout as delay } from 'node:timers/promises'
import { Type } from 'typebox'
import { freshMs } from '#shared/bus/tries.ts'
import { hasHolderGone, newHolder } from '#shared/bus/liveness.ts'
import { strict, Time } from '#shared/contracts/common.ts'
import { findOne } from '#shared/db/commands.ts'
import { insertIfNew, removeAll, removeOne, update } from '#shared/db/guarded.ts'
import {
  hasEnded,
  heldAs,
  type Lease,
  leaseFields,
  leaseFor,
  releaseLease,
  renewLease,
  takeLease,
} from '#shared/db/lease.ts'
import { modelOf } from '#shared/db/model.ts'
import { LateCallError, type PackedError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { log } from '#shared/runtime/log.ts'
import { wasStoppedSince } from '#shared/runtime/stops.ts'
import { seal, unseal } from '#shared/config/secrets.ts'
import type { Answer } from '../rest/ask-service.ts'

/** Result of the work for a key. */
export type Outcome = { answer: Answer } | { error: PackedError }

const keptMs = 24 * 3_600_000
/** Longer than any service may take to answer: a holder that is still there then has died. Milliseconds. */
const leaseMs = 15_000
const purpose = 'idempotency'

const Entry = strict({
  id: Type.String(),
  ...leaseFields,
  fingerprint: Type.String(),
  created_at: Time,
  outcome: Type.Union([Type.String(), Type.Null()], { description: 'JSON, sealed when there are secrets in it' }),
  sealed: Type.Boolean(),
})
const model = modelOf('idempotency_keys', Entry, [{ fields: { created_at: 1 } }])

export type Record = {
  _id: string
  fingerprint: string
  created_at: string
  lease: Lease | null
  epoch: number
  outcome: string | null
  sealed: boolean
}

const later = (ms: number) => new Date(Date.now() + ms).toISOString()
const heldBy = ({ _id, epoch }: Pick<Record, '_id' | 'epoch'>) => ({ id: _id, epoch })

type Begun = { mine: boolean; record: Record }

/** The record of a key, and whether the work is ours to do: the key is new, or its holder has died or given up. */
export async function begin(id: string, fingerprint: string): Promise<Begun> {
  const lease = leaseFor(newHolder(), leaseMs)
  const created: Record = { _id: id, fingerprint, created_at: now(), lease, epoch: 1, outcome: null, sealed: false }
  if (await insertIfNew(model, created)) return { mine: true, record: created }
  const known = await findOne<Record>(model, { _id: id })
  if (!known || known.created_at < later(-keptMs)) {
    await removeOne(model, { _id: id, created_at: { $lt: later(-keptMs) } })
    return begin(id, fingerprint)
  }
  if (known.fingerprint !== fingerprint || known.outcome !== null) return { mine: false, record: known }
  const dead = hasEnded(known.lease) ? undefined : known.lease!.holder
  if (dead !== undefined && !(await hasHolderGone(dead))) return { mine: false, record: known }
  const taken = await takeLease<Record>(model, { _id: id, outcome: null }, lease, { dead })
  return taken ? { mine: true, record: taken } : { mine: false, record: known }
}

/**
 * The check before work is sent to a service: this gateway may have been stopped, and another one has taken the work over.
 * The lease is renewed, so that none takes it meanwhile.
 * @returns a function that throws LateCallError when the lease was lost
 */
export function guardOf({ lease: first, ...record }: Record): () => Promise<void> {
  let renewedAt = Date.parse(first!.until) - leaseMs
  const isOld = () => Date.now() - renewedAt >= freshMs || wasStoppedSince(renewedAt)
  return async () => {
    while (isOld()) {
      renewedAt = Date.now()
      if (!(await renewLease(model, heldBy(record), leaseFor(first!.holder, leaseMs))))
        throw new LateCallError('Another gateway works on the request with this Idempotency-Key by now')
    }
  }
}

/** Stores the outcome. A gateway whose lease was taken changes nothing. */
export async function finish(record: Record, outcome: Outcome, secret: boolean): Promise<void> {
  const text = JSON.stringify('error' in outcome ? outcome : { answer: withText(outcome.answer) })
  const kept = { outcome: secret ? seal(text, purpose) : text, sealed: secret }
  await update(model, heldAs(heldBy(record)), { $set: kept })
}

/** Gives the work back: the next request with this key does it. */
export async function release(record: Record): Promise<void> {
  const isReleased = () =>
    releaseLease(model, heldBy(record)).then(
      () => true,
      () => false,
    )
  if (!(await isReleased())) void retry(isReleased)
}

/** Repeats while the store is away, so that the key is free as soon as it is back; at most until the lease ends. */
async function retry(isReleased: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + leaseMs
  while (Date.now() < deadline) {
    await delay(500, undefined, { ref: false })
    if (await isReleased()) return
  }
}

/** As if the key had never been used. */
export async function forget(record: Record): Promise<void> {
  await removeOne(model, { ...heldAs(heldBy(record)), outcome: null })
}

const withText = ({ body, ...rest }: Answer) => ({ ...rest, body: body === null ? null : body.toString('utf8') })

/** Result of the work for a key, if it has ended. */
export function outcomeOf({ outcome, sealed }: Record): Outcome | undefined {
  if (outcome === null) return undefined
  // The text written by `finish`, with the body as text.
  const kept = JSON.parse(sealed ? unseal(outcome, purpose) : outcome) as
    | { error: PackedError }
    | { answer: Omit<Answer, 'body'> & { body: string | null } }
  if ('error' in kept) return kept
  const { body, ...rest } = kept.answer
  return { answer: { ...rest, body: body === null ? null : Buffer.from(body) } }
}

/** Removes records that are older than a day, every ten minutes. @returns a function that stops it */
export function sweepIdempotency(everyMs = 600_000): () => void {
  const timer = setInterval(() => {
    removeAll(model, { created_at: { $lt: later(-keptMs) } }).catch((error: Error) =>
      log('gateway').warn({ err: error }, 'old idempotency keys could not be removed'),
    )
  }, everyMs)
  timer.unref()
  return () => clearInterval(timer)
}
