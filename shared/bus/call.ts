import { asService, type Caller } from '#shared/access/access.ts'
import { askAround, askOnce } from '#shared/bus/hedged-call.ts'
import { isBusJustBack } from '#shared/bus/bus.ts'
import { fateOf, requestTimeoutMs, translateBusError } from '#shared/bus/broker.ts'
import { type Action, type Contract, isChange, type Params, type Result } from '#shared/contract/contract.ts'
import { requestContext, type FencingToken } from '#shared/runtime/request-context.ts'
import { UnavailableError } from '#shared/errors.ts'
import type { Reply } from '#shared/runtime/handler.ts'
import type { ServiceBroker } from 'moleculer'
import { setTimeout as delay } from 'node:timers/promises'

/** What travels with every call. */
export type Meta = {
  caller?: Caller
  requestId?: string
  ifMatch?: number
  /** What ids that the call makes follow from, so that it can be repeated. */
  idempotency?: string
  /** An earlier try was lost with the replica that worked on it. */
  repeated?: boolean
  /** The run of the operation that calls; an older one is refused. */
  fence?: FencingToken
  /** A service that starts an operation names it, so that starting it again finds it. */
  operationId?: string
  /** The answer is wanted as the bytes of its JSON. */
  bytes?: boolean
} & Reply

type Sent<C extends Contract, K extends keyof C['actions']> =
  Partial<Params<C, K>> extends Params<C, K> ? Params<C, K> | undefined : Params<C, K>

/** For a service that was there and is not, or a bus that is away, a call waits this long. Milliseconds. */
const patienceMs = 2000
const pauseMs = 100
/** While replicas may not be back on the bus, a question that gets no answer is asked again this soon. Milliseconds. */
const shortMs = 700

/**
 * One call over the bus. What never reached anybody is sent again for a moment, and so is what was lost with a replica
 * that died, if it may be repeated: a question, or a change whose ids follow from a seed, so that it finds itself.
 * @throws the error of the action, or UnavailableError when nobody answers in time
 */
export async function send(
  broker: ServiceBroker,
  action: string,
  params: unknown,
  meta: Meta,
  timeoutMs = requestTimeoutMs,
  mayRepeat = meta.idempotency !== undefined || meta.operationId !== undefined,
  attempt = askOnce,
): Promise<unknown> {
  const begin = performance.now()
  const leftMs = () => timeoutMs - (performance.now() - begin)
  for (;;) {
    const isShort = attempt === askAround && isBusJustBack()
    try {
      return await attempt(broker, action, params, meta, Math.max(1, isShort ? Math.min(leftMs(), shortMs) : leftMs()))
    } catch (error) {
      const translated = translateBusError(error, action)
      const mayTryAgain =
        (isShort && translated instanceof UnavailableError) || mayAgain(error, timeoutMs - leftMs(), mayRepeat)
      if (!mayTryAgain || leftMs() < 2 * pauseMs) throw translated
      if (fateOf(error) === 'lost') meta.repeated = true
      await delay(pauseMs)
    }
  }
}

function mayAgain(error: unknown, spentMs: number, mayRepeat: boolean): boolean {
  const fate = fateOf(error)
  return fate === 'unsent' ? spentMs < patienceMs : fate === 'lost' && mayRepeat
}

/** As {@link send}, for what changes nothing: a replica that has fallen silent is not waited for. */
export const question = (broker: ServiceBroker, action: string, params: unknown, meta: Meta, timeoutMs?: number) =>
  send(broker, action, params, meta, timeoutMs, true, askAround)

type CallOptions = {
  timeoutMs?: number
  operationId?: string
  /** It changes nothing, so that several replicas may be asked. Of actions with a route it is known. */
  isQuestion?: boolean
}
const isRead = (action: Action) => !isChange(action) && action.rest !== undefined

/** Calls another service from inside a handler or an operation, with this service's rights and the request's id. */
export const call = async <C extends Contract, K extends keyof C['actions'] & string>(
  contract: C,
  action: K,
  params?: Sent<C, K>,
  { timeoutMs = requestTimeoutMs, operationId, isQuestion = isRead(contract.actions[action]!) }: CallOptions = {},
): Promise<Result<C, K>> => {
  const context = requestContext()
  if (!context) throw new Error(`${contract.name}.${action} was called outside a handler`)
  const { broker, service, requestId, caller, fence } = context
  context.requireLease?.()
  return (await send(
    broker,
    `${contract.name}.${action}`,
    params ?? {},
    {
      caller: asService(service, caller),
      requestId,
      ...(operationId !== undefined && { operationId }),
      ...(fence && { fence }),
    },
    timeoutMs,
    // What is between services only bears being repeated, and so does every step of an operation.
    !isChange(contract.actions[action]!) || operationId !== undefined || fence !== undefined,
    isQuestion ? askAround : askOnce,
  )) as Result<C, K>
}
