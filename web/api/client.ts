import { actions } from 'virtual:actions'
import type { ActionName, ParamsOf, ResultOf } from './contracts.ts'
import { Refusal } from './refusal.ts'

export type Answer<T> = { data: T; etag: string | null; status: number }
export type Asked = {
  ifMatch?: string | undefined
  ifNoneMatch?: string | undefined
  ifPlan?: string | undefined
  signal?: AbortSignal
}

type Request = { method: string; url: string; body: Record<string, unknown> | undefined }

/** The path of a resource below `/api`, and the parameters that are not part of it. */
export function requestOf(name: string, params: Record<string, unknown>): Request & { path: string } {
  const [method, template] = (actions[name]?.[0] ?? '').split(' ') as [string, string]
  const rest = { ...params }
  const path = `/api${template.replace(/\{(\w+)\}/g, (_, key: string) => {
    delete rest[key]
    return encodeURIComponent(String(params[key]))
  })}`
  const given = Object.entries(rest).filter(([, value]) => value !== undefined && value !== '')
  if (given.length === 0) return { method, url: path, path, body: undefined }
  if (method === 'GET') {
    const query = new URLSearchParams(given.map(([key, value]) => [key, String(value)]))
    return { method, url: `${path}?${query}`, path, body: undefined }
  }
  return { method, url: path, path, body: Object.fromEntries(Object.entries(rest).filter(([, v]) => v !== undefined)) }
}

/** `crypto.randomUUID` exists in secure contexts only; plain HTTP on another host is none. */
export function randomKey(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** Waits for a new sign-in after a 401, or returns undefined if nobody was signed in; set by the session. */
let signInAgain: (() => Promise<void> | undefined) | undefined
export const onExpired = (wait: () => Promise<void> | undefined) => (signInAgain = wait)

type Body = Record<string, unknown> | Blob | undefined

function headersOf(
  method: string,
  url: string,
  body: Body,
  { ifMatch, ifNoneMatch, ifPlan }: Asked,
): Record<string, string> {
  const isRepeatable = method === 'GET' || method === 'HEAD' || body instanceof Blob || url.startsWith('/api/auth/')
  return {
    'X-Horcrux-Request': 'page',
    Accept: 'application/json',
    ...(body !== undefined && {
      'Content-Type': body instanceof Blob ? 'application/octet-stream' : 'application/json',
    }),
    ...(!isRepeatable && { 'Idempotency-Key': randomKey() }),
    ...(ifMatch !== undefined && { 'If-Match': ifMatch }),
    ...(ifNoneMatch !== undefined && { 'If-None-Match': ifNoneMatch }),
    ...(ifPlan !== undefined && { 'If-Plan': ifPlan }),
  }
}

function contentOf(body: Body): string | Blob | null {
  if (body === undefined) return null
  return body instanceof Blob ? body : JSON.stringify(body)
}

/** Tries of a request whose session has ended, each after a new sign-in. */
const mostTries = 3
const retryMs = 1000

/** Sends a request; a change whose answer was lost, again: by its Idempotency-Key it is done once. @throws Refusal */
async function answerOf(url: string, request: RequestInit, triesLeft = 2): Promise<Response> {
  try {
    return await fetch(url, request)
  } catch (error) {
    const isSafe = new Headers(request.headers).has('idempotency-key')
    if (request.signal?.aborted || !isSafe || triesLeft === 0)
      throw new Refusal(0, { message: 'The server does not answer', retryable: true }, error)
    await new Promise((resolve) => setTimeout(resolve, retryMs))
    return answerOf(url, request, triesLeft - 1)
  }
}

/**
 * Sends a request with the session cookie. A change carries an Idempotency-Key, so that it can be sent again after a lost
 * answer or a sign-in without being done twice.
 * @throws Refusal
 */
export async function send(method: string, url: string, body: Body, asked: Asked = {}): Promise<Response> {
  const request = {
    method,
    headers: headersOf(method, url, body, asked),
    body: contentOf(body),
    signal: asked.signal ?? null,
  }
  for (let tries = 1; ; tries++) {
    const response = await answerOf(url, request)
    if (response.ok || response.status === 304) return response
    const refusal = new Refusal(response.status, await response.json().catch(() => ({})))
    const isSessionGone = response.status === 401 && !url.startsWith('/api/auth/login') && tries < mostTries
    const again = isSessionGone ? signInAgain?.() : undefined
    if (!again) throw refusal
    await again
  }
}

/** Calls an action of the contracts. @throws Refusal */
export async function call<N extends ActionName>(
  name: N,
  params: ParamsOf<N>,
  asked: Asked = {},
): Promise<Answer<ResultOf<N>>> {
  const { method, url, body } = requestOf(name, params as Record<string, unknown>)
  const response = await send(method, url, body, asked)
  const data = (response.status === 204 || response.status === 304 ? null : await response.json()) as ResultOf<N>
  return { data, etag: response.headers.get('etag'), status: response.status }
}
