import { asService, type Caller } from '#shared/access.ts'
import { requestTimeoutMs, translateBusError } from '#shared/broker.ts'
import type { Contract, Params, Result } from '#shared/contract.ts'
import { current, type Fence } from '#shared/current.ts'
import type { ServiceBroker } from 'moleculer'

/** What travels with every call. */
export type Meta = {
  caller?: Caller
  requestId?: string
  ifMatch?: number
  idempotency?: string
  /** The run of the operation that calls; an older one is refused. */
  fence?: Fence
  /** A service that starts an operation names it, so that starting it again finds it. */
  operationId?: string
  /** The answer is wanted as the bytes of its JSON. */
  bytes?: boolean
} & Reply

/** What a service answers beside the result, for the gateway. */
export type Reply = {
  etag?: string
  /** The session cookie to set, or null to clear it. */
  cookie?: { value: string; expires_at: string } | null
}

type Sent<C extends Contract, K extends keyof C['actions']> =
  Partial<Params<C, K>> extends Params<C, K> ? Params<C, K> | undefined : Params<C, K>

/** One call over the bus. @throws the error of the action, or UnavailableError when nobody answers in time */
export async function send(
  broker: ServiceBroker,
  action: string,
  params: unknown,
  meta: Meta,
  timeoutMs = requestTimeoutMs,
): Promise<unknown> {
  try {
    return await broker.call(action, params, { meta, timeout: timeoutMs })
  } catch (error) {
    throw translateBusError(error, action)
  }
}

/** Calls another service from inside a handler or an operation, with this service's rights and the request's id. */
export const call = async <C extends Contract, K extends keyof C['actions'] & string>(
  contract: C,
  action: K,
  params?: Sent<C, K>,
  { timeoutMs = requestTimeoutMs, operationId }: { timeoutMs?: number; operationId?: string } = {},
): Promise<Result<C, K>> => {
  const context = current()
  if (!context) throw new Error(`${contract.name}.${action} was called outside a handler`)
  const { broker, service, requestId, caller, fence, guard } = context
  guard?.()
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
  )) as Result<C, K>
}
