import { createHash, createHmac } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Caller, subjectOf } from '#shared/access/access.ts'
import { AppError, ConflictError, invalid, packError, unpackError } from '#shared/errors.ts'
import type { Answer, Route } from '../rest/ask-service.ts'
import { begin, finish, forget, guardOf, type Outcome, outcomeOf, type Record as Kept, release } from './store.ts'

/** The `Idempotency-Key` of a request. @throws ValidationError */
export function idempotencyOf({ headers }: FastifyRequest): string | undefined {
  const key = headers['idempotency-key']
  if (key === undefined) return undefined
  if (typeof key === 'string' && /^[\x21-\x7e]{1,255}$/.test(key)) return key
  throw invalid('Idempotency-Key', 'must be 1 to 255 visible ASCII characters')
}

/** @param requireHeld throws when another gateway has taken the work over */
type Ask = (seed: string, requireHeld: () => Promise<void>) => Promise<Answer>

/** The work of a key, and the check that a repeating caller may still have its answer. */
type Work = { ask: Ask; mayStill: () => Promise<void> }

/** Keys are separate for each API key of a user, and for each address of callers who are not signed in. */
function whoAsks(caller: Caller): string[] {
  if (caller.kind === 'anonymous') return [subjectOf(caller), caller.address]
  return caller.kind === 'user' && caller.credential.by === 'api_key'
    ? [caller.user, caller.credential.id]
    : [subjectOf(caller)]
}

const waitForOtherMs = 4000
const retryAfterSeconds = 1

/** The plan that a request names; nothing for one without, whose fingerprint is that of earlier versions. */
const planOf = ({ headers }: FastifyRequest) => (headers['if-plan'] === undefined ? [] : [headers['if-plan']])

/**
 * Does the work of an idempotency key once: of one user and one action, with the same parameters. A repetition gets the
 * first answer, also from another gateway; it waits while the first is under way. Work that a dead gateway began is
 * done again with ids derived from the key, and so finds what it made.
 */
export async function onceFor(
  key: string,
  route: Route,
  params: Record<string, unknown>,
  request: FastifyRequest,
  reply: FastifyReply,
  { ask, mayStill }: Work,
): Promise<Answer> {
  const id = createHash('sha256')
    .update(JSON.stringify([...whoAsks(request.caller), route.name, key]))
    .digest('hex')
  // The key is not stored, so that passwords in the parameters cannot be guessed from this.
  const fingerprint = createHmac('sha256', key)
    .update(JSON.stringify([sorted(params), request.headers['if-match'] ?? null, ...planOf(request)]))
    .digest('hex')
  const deadline = Date.now() + waitForOtherMs
  for (let pauseMs = 20; ; pauseMs = Math.min(pauseMs * 2, 250)) {
    const { mine, record } = await begin(id, fingerprint)
    if (record.fingerprint !== fingerprint)
      throw invalid('Idempotency-Key', 'was used with other parameters before', 'key_reused')
    const known = outcomeOf(record)
    if (known) {
      await mayStill()
      void reply.header('idempotency-replayed', 'true')
      if ('error' in known) throw unpackError(known.error)
      return known.answer
    }
    if (mine) return await workAs(record, route, ask)
    if (Date.now() > deadline)
      throw new ConflictError('The first request with this Idempotency-Key is still being worked on', {
        retryable: true,
        details: { retry_after_seconds: retryAfterSeconds },
      })
    await delay(pauseMs)
  }
}

/** A key that is used anew, after a day or a refusal, stands for other work: its seed is another one. */
const seedOf = ({ _id, created_at }: Kept) => `${_id}/${created_at}`

async function workAs(record: Kept, { action }: Route, work: Ask): Promise<Answer> {
  const secret = action.secret !== undefined
  const settle = (outcome: Outcome) => finish(record, outcome, secret)
  try {
    const answer = await work(seedOf(record), guardOf(record))
    await settle({ answer })
    return answer
  } catch (error) {
    if (error instanceof AppError && isFinal(error)) await settle({ error: packError(error) })
    // Nothing was begun: with other rights, or other parameters, the key is as good as new.
    else if (error instanceof AppError && [401, 403].includes(error.status)) await forget(record)
    else await release(record)
    throw error
  }
}

/** True if a repetition gets the same error. Errors that may pass (rights, limits, locks, outages) are tried again. */
const isFinal = ({ status, retryable }: AppError) => !retryable && [404, 409, 412, 422].includes(status)

/** The same parameters in any order of their names. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .map(([key, inner]) => [key, sorted(inner)] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  )
}
