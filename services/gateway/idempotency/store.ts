import { Type } from 'typebox'
import { strict, Time } from '#shared/contracts/common.ts'
import { inStore } from '#shared/db/connect.ts'
import { modelOf, storedAs } from '#shared/db/model.ts'
import type { PackedError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { log } from '#shared/runtime/log.ts'
import { seal, unseal } from '#shared/config/secrets.ts'
import type { Answer } from '../rest/answer.ts'
import { answerWhetherAtWork, beginWork, endWork, mayBeAtWork } from './liveness.ts'

/** How the work for a key ended. */
export type Outcome = { answer: Answer } | { error: PackedError }

const keptMs = 24 * 3_600_000
/** Longer than any service may take to answer; then whoever worked on it is dead. */
const leaseMs = 15_000
const purpose = 'idempotency'

const Entry = strict({
  id: Type.String(),
  fingerprint: Type.String(),
  created_at: Time,
  holder: Type.String({ description: 'Which request works on it' }),
  lease_until: Time,
  outcome: Type.Union([Type.String(), Type.Null()], { description: 'JSON, sealed when there are secrets in it' }),
  sealed: Type.Boolean(),
})
const model = modelOf('idempotency_keys', Entry, [{ fields: { created_at: 1 } }])

export type Record = {
  _id: string
  fingerprint: string
  created_at: string
  holder: string
  lease_until: string
  outcome: string | null
  sealed: boolean
}

const later = (ms: number) => new Date(Date.now() + ms).toISOString()

type Begun = { mine: boolean; record: Record }

/** The record of a key, and whether the work is ours to do: it is new, or who began it has died or given up. */
export async function begin(id: string, fingerprint: string): Promise<Begun> {
  const holder = beginWork()
  const begun = await beginAs(holder, id, fingerprint).catch((error: unknown) => {
    endWork(holder)
    throw error
  })
  if (!begun.mine) endWork(holder)
  return begun
}

async function beginAs(holder: string, id: string, fingerprint: string): Promise<Begun> {
  const lease_until = later(leaseMs)
  const created: Record = { _id: id, fingerprint, created_at: now(), holder, lease_until, outcome: null, sealed: false }
  try {
    await inStore(() => model.create([created] as never))
    return { mine: true, record: created }
  } catch (error) {
    if ((error as { code?: number }).code !== 11_000) throw error
  }
  const known = await find({ _id: id })
  if (!known || known.created_at < later(-keptMs)) {
    await inStore(() => model.deleteOne({ _id: id, created_at: { $lt: later(-keptMs) } } as never))
    return beginAs(holder, id, fingerprint)
  }
  if (known.fingerprint !== fingerprint || known.outcome !== null) return { mine: false, record: known }
  if (known.lease_until > now() && (await mayBeAtWork(known.holder))) return { mine: false, record: known }
  const taken = await inStore(() =>
    model
      .findOneAndUpdate(
        { _id: id, holder: known.holder, outcome: null } as never,
        { $set: { holder, lease_until: later(leaseMs) } } as never,
        { returnDocument: 'after' },
      )
      .lean(),
  )
  if (taken) return { mine: true, record: storedAs<Record>(taken) }
  return { mine: false, record: known }
}

const find = async (filter: object) =>
  storedAs<Record | null>(await inStore(() => model.findOne(filter as never).lean()))

/** Keeps how it ended. A gateway that was taken for dead changes nothing any more. */
export async function finish({ _id, holder }: Record, outcome: Outcome, secret: boolean): Promise<void> {
  const text = JSON.stringify('error' in outcome ? outcome : { answer: withText(outcome.answer) })
  const kept = { outcome: secret ? seal(text, purpose) : text, sealed: secret }
  await inStore(() => model.updateOne({ _id, holder } as never, { $set: kept } as never))
}

/** Gives the work back: the next request with this key does it. */
export async function release({ _id, holder }: Record): Promise<void> {
  await inStore(() => model.updateOne({ _id, holder } as never, { $set: { lease_until: now() } } as never)).catch(
    (error: Error) => log('gateway').debug({ err: error }, 'an idempotency key stays held until its lease ends'),
  )
}

/** As if the key had never been used. */
export async function forget({ _id, holder }: Record): Promise<void> {
  await inStore(() => model.deleteOne({ _id, holder, outcome: null } as never))
}

const withText = ({ body, ...rest }: Answer) => ({ ...rest, body: body === null ? null : body.toString('utf8') })

/** How the work for a key ended, if it has. */
export function outcomeOf({ outcome, sealed }: Record): Outcome | undefined {
  if (outcome === null) return undefined
  // What `finish` wrote, with the body as text.
  const kept = JSON.parse(sealed ? unseal(outcome, purpose) : outcome) as
    | { error: PackedError }
    | { answer: Omit<Answer, 'body'> & { body: string | null } }
  if ('error' in kept) return kept
  const { body, ...rest } = kept.answer
  return { answer: { ...rest, body: body === null ? null : Buffer.from(body) } }
}

/** Removes what is older than a day, now and then, and tells others what is worked on. @returns a function that stops it */
export function sweepIdempotency(everyMs = 600_000): () => void {
  const stopAnswering = answerWhetherAtWork()
  const timer = setInterval(() => {
    inStore(() => model.deleteMany({ created_at: { $lt: later(-keptMs) } } as never)).catch((error: Error) =>
      log('gateway').warn({ err: error }, 'old idempotency keys could not be removed'),
    )
  }, everyMs)
  timer.unref()
  return () => {
    clearInterval(timer)
    stopAnswering()
  }
}
