import type { ServiceBroker } from 'moleculer'
import type { TSchema } from 'typebox'
import { v7 } from 'uuid'
import { type Meta, question, sendChange } from '#shared/bus/call.ts'
import { requestTimeoutMs } from '#shared/bus/broker.ts'
import { propertiesOf } from '#shared/contract/branches.ts'
import { type Action, type Contract, isChange, isOperation, isPlanOnly } from '#shared/contract/contract.ts'

/** A contract's action as the gateway serves it. */
export type Route = { name: string; method: string; path: string; action: Action; contract: Contract }

/** An answer as it is sent, and stored for an idempotency key. */
export type Answer = {
  status: number
  headers: Record<string, string>
  /** JSON, or nothing. */
  body: Buffer | null
  cookie?: Meta['cookie']
}

type Seconds = { type?: string; default?: number; maximum?: number }

const isNothing = (schema: TSchema) => (schema as { type?: string }).type === 'null'

/**
 * A question that waits for as long as its parameter `timeout` says, in seconds, is given that time. The service has not
 * looked at it yet, and timers of more than 2^31 ms fire at once: more than the most that it takes is not waited for.
 */
function timeoutMsOf({ action }: Route, params: Record<string, unknown>): number {
  if (isChange(action)) return requestTimeoutMs
  const schema = propertiesOf(action.params)['timeout'] as Seconds | undefined
  if (schema?.type !== 'number' && schema?.type !== 'integer') return requestTimeoutMs
  const seconds = Math.min(Number(params['timeout'] ?? schema.default), schema.maximum ?? 0)
  return requestTimeoutMs + (seconds > 0 ? seconds * 1000 : 0)
}

/** Less than this is not worth asking with. Milliseconds. */
const leastMs = 100

/**
 * Has an action done by its service. Its bytes are passed on as they come. `spentMs`: how long the request has taken
 * already. A change without a seed is given one, so that it can be repeated when the replica that works on it dies.
 */
export async function askService(
  broker: ServiceBroker,
  route: Route,
  params: Record<string, unknown>,
  meta: Meta,
  spentMs: number,
): Promise<Answer> {
  const { action } = route
  const change = isChange(action)
  if (change) meta.idempotency ??= v7()
  const timeoutMs = Math.max(leastMs, timeoutMsOf(route, params) - spentMs)
  // A service answers with the bytes of its JSON when `bytes` is set.
  const body = (await (change ? sendChange : question)(broker, route.name, params, meta, timeoutMs)) as Buffer
  const headers: Record<string, string> = {}
  if (meta.etag !== undefined) headers['etag'] = meta.etag
  const location = isPlanOnly(action, params) ? undefined : locationOf(route, body)
  if (location !== undefined) headers['location'] = location
  const cookie = meta.cookie === undefined ? {} : { cookie: meta.cookie }
  const { status, hasBody } = shapeOf(action, params)
  return { status, headers, body: hasBody ? body : null, ...cookie }
}

/** Status of a successful answer, and false for `hasBody` if it has no content. A plan is content, also of a DELETE. */
export function shapeOf(action: Action, params: unknown): { status: number; hasBody: boolean } {
  if (isPlanOnly(action, params)) return { status: 200, hasBody: true }
  if (isOperation(action)) return { status: 202, hasBody: true }
  const hasBody = !isNothing(action.result)
  return { status: action.status ?? (hasBody ? 200 : 204), hasBody }
}

/** Location header: the path of the resource that was made, or of the operation that makes it. */
function locationOf({ action, path, contract }: Route, body: Buffer): string | undefined {
  if (isOperation(action)) return `/api/operations/${idIn(body, 'id')}`
  if (action.status !== 201) return undefined
  const own = Object.values(contract.actions).map(({ rest }) => /^GET (.*)\/\{(\w+)\}$/.exec(rest ?? ''))
  const key = own.find((match) => match?.[1] === path)?.[2]
  const id = key && idIn(body, key)
  return id ? `/api${path}/${encodeURIComponent(id)}` : undefined
}

function idIn(body: Buffer, key: string): string | undefined {
  // Every record and operation is an object; its own schema says that its key is text.
  const record = JSON.parse(body.toString('utf8')) as Record<string, string> | null
  return record?.[key]
}
