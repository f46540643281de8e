import { asService, type Caller } from '#shared/access/access.ts'
import { callAt, hedgedCall, callOnce } from '#shared/bus/hedged-call.ts'
import { isBusJustBack } from '#shared/bus/bus.ts'
import { raiseTry, revoked, type Try } from '#shared/bus/tries.ts'
import { deliveryOf, isUndelivered, requestTimeoutMs, translateBusError } from '#shared/bus/broker.ts'
import { type Action, type Contract, isChange, type Params, type Result } from '#shared/contract/contract.ts'
import { requestContext, requireCurrent, type FencingToken } from '#shared/runtime/request-context.ts'
import { UnavailableError } from '#shared/errors.ts'
import type { Reply } from '#shared/runtime/handler.ts'
import type { ServiceBroker } from 'moleculer'
import { v7 } from 'uuid'
import { setTimeout as delay } from 'node:timers/promises'

/** Metadata of a call on the bus. */
export type Meta = {
  caller?: Caller
  requestId?: string
  ifMatch?: number
  /** The `plan_id` of the plan that is to be carried out. */
  ifPlan?: string
  /** The seed of the ids that the call makes, so that a repetition makes the same ones. */
  idempotency?: string
  /** An earlier try was lost with its replica. */
  repeated?: boolean
  /** Of a change: the number of this try, and until when its sender waits. */
  try?: Try
  /** Of a question: until when its sender waits, by its clock, in milliseconds since 1970. */
  deadline?: number
  /** The run of the operation that calls; receivers refuse an older one. */
  fence?: FencingToken
  /** The id for the operation that a service starts, so that starting it again finds it. */
  operationId?: string
  /** Requests the answer as the bytes of its JSON. */
  bytes?: boolean
} & Reply

type Sent<C extends Contract, K extends keyof C['actions']> =
  Partial<Params<C, K>> extends Params<C, K> ? Params<C, K> | undefined : Params<C, K>

/** Time that a call waits for a service that has gone, or for the bus. Milliseconds. */
const patienceMs = 2000
const pauseMs = 100
/** While replicas may not be back on the bus, a question that gets no answer is asked again this soon. Milliseconds. */
const shortMs = 700

/**
 * Calls an action over the bus. A call that was not delivered is sent again for a moment, and so is one that was lost with
 * its replica, if it may be repeated: a question, or a change whose ids follow from a seed, so that it finds itself.
 * @throws the error of the action, or UnavailableError when no replica answers in time
 */
export async function send(
  broker: ServiceBroker,
  action: string,
  params: unknown,
  meta: Meta,
  timeoutMs = requestTimeoutMs,
  mayRepeat = meta.idempotency !== undefined || meta.operationId !== undefined,
  attempt = callOnce,
): Promise<unknown> {
  const begin = performance.now()
  const leftMs = () => timeoutMs - (performance.now() - begin)
  for (;;) {
    const isShort = attempt === hedgedCall && isBusJustBack()
    try {
      return await attempt(broker, action, params, meta, Math.max(1, isShort ? Math.min(leftMs(), shortMs) : leftMs()))
    } catch (error) {
      const translated = translateBusError(error, action)
      const mayTryAgain =
        (isShort && translated instanceof UnavailableError) || mayAgain(error, timeoutMs - leftMs(), mayRepeat)
      if (!mayTryAgain || leftMs() < 2 * pauseMs) throw translated
      if (deliveryOf(error) === 'lost') meta.repeated = true
      await delay(pauseMs)
    }
  }
}

function mayAgain(error: unknown, spentMs: number, mayRepeat: boolean): boolean {
  const fate = deliveryOf(error)
  return fate === 'unsent' ? spentMs < patienceMs : fate === 'lost' && mayRepeat
}

/**
 * As {@link send}, for what changes something: each try has a number and a deadline, so that a replica which comes to an old
 * one late does nothing. A failure says whether something may have been changed.
 * @throws UnavailableError with `details.outcome`: `not_begun`, or `unknown` when a replica had the call and did not answer
 */
export async function sendChange(
  broker: ServiceBroker,
  action: string,
  params: unknown,
  meta: Meta,
  timeoutMs?: number,
  mayRepeat?: boolean,
): Promise<unknown> {
  const call = v7()
  let number = 0
  let sent: unknown
  const attempt: typeof callOnce = async (broker, action, params, meta, timeoutMs) => {
    number++
    // Only a try that was lost can still be worked on.
    if ((meta as Meta).repeated) await raiseTry(call, number)
    // Before each try: the sender too may have been stopped, and be late itself.
    await requireCurrent()
    const sentAt = Date.now()
    Object.assign(meta, { try: { call, number, sentAt, deadline: sentAt + timeoutMs } satisfies Try })
    return callOnce(broker, action, params, meta, timeoutMs).catch((error: unknown) => {
      sent = error
      throw error
    })
  }
  try {
    return await send(broker, action, params, meta, timeoutMs, mayRepeat, attempt)
  } catch (error) {
    if (!(error instanceof UnavailableError) || sent === undefined || !isUndelivered(sent)) throw error
    const isUnknown = meta.repeated === true || deliveryOf(sent) !== 'unsent'
    // A replica that was stopped with it does not act on it any more. Without a store its deadline stops it.
    if (isUnknown) await raiseTry(call, revoked).catch(() => undefined)
    throw withOutcome(error, isUnknown)
  }
}

function withOutcome(error: UnavailableError, isUnknown: boolean): UnavailableError {
  const message = isUnknown
    ? `${error.message}; the change may have been made: look, or repeat the request with the same Idempotency-Key`
    : error.message
  const { retry_after_seconds: retryAfterSeconds, ...details } = error.details
  return new UnavailableError(message, {
    details: { ...details, outcome: isUnknown ? 'unknown' : 'not_begun' },
    ...(typeof retryAfterSeconds === 'number' && { retryAfterSeconds }),
    cause: error,
  })
}

/** As {@link send}, for questions: when a replica is silent, another one is asked too. */
export const question = (broker: ServiceBroker, action: string, params: unknown, meta: Meta, timeoutMs?: number) =>
  send(broker, action, params, meta, timeoutMs, true, hedgedCall)

type CallOptions = {
  timeoutMs?: number
  operationId?: string
  /** Says of an action without a route that it changes nothing, so that several replicas may be asked. */
  isQuestion?: boolean
  /** The process that has what the call is about. A call that is lost is not repeated. */
  replica?: string
}
const isRead = (action: Action) => !isChange(action) && action.rest !== undefined

/** Calls another service from inside a handler or an operation, with this service's rights and the request's id. */
export const call = async <C extends Contract, K extends keyof C['actions'] & string>(
  contract: C,
  action: K,
  params?: Sent<C, K>,
  {
    timeoutMs = requestTimeoutMs,
    operationId,
    replica,
    isQuestion = isRead(contract.actions[action]!),
  }: CallOptions = {},
): Promise<Result<C, K>> => {
  const context = requestContext()
  if (!context) throw new Error(`${contract.name}.${action} was called outside a handler`)
  const { broker, service, requestId, caller, fence } = context
  const meta = {
    caller: asService(service, caller),
    requestId,
    ...(operationId !== undefined && { operationId }),
    ...(fence && { fence }),
  }
  const name = `${contract.name}.${action}`
  if (replica !== undefined)
    return (await send(broker, name, params ?? {}, meta, timeoutMs, false, callAt(replica))) as Result<C, K>
  if (isQuestion) return (await question(broker, name, params ?? {}, meta, timeoutMs)) as Result<C, K>
  // Actions for services only, and the steps of operations, bear being repeated.
  const mayRepeat = !isChange(contract.actions[action]!) || operationId !== undefined || fence !== undefined
  return (await sendChange(broker, name, params ?? {}, meta, timeoutMs, mayRepeat)) as Result<C, K>
}
