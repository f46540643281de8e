import type { IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { localUrl } from '../contexts/local.ts'
import { CommandError, exitCodes } from '../errors.ts'
import { failureOf, type ErrorBody } from './failures.ts'
import { credentialHeaders, type Target } from './target.ts'
import { isDistrusted, tlsOptions } from './tls.ts'

export type Request = {
  method?: string
  /** Below /api, with the query. */
  path: string
  body?: unknown
  headers?: Record<string, string>
  /** Limit of one try. */
  timeoutMs?: number
  signal?: AbortSignal
}

export type Answer<T = unknown> = { status: number; headers: IncomingMessage['headers']; body: T }

const timeoutMs = 75_000
const tries = 3
/** A longer Retry-After is left to the user. */
const longestPauseMs = 10_000

/** Opens a request and returns its answer with the body still to come. @throws Error of Node */
export async function open(
  target: Target,
  { method = 'GET', path, body, headers, signal, ...rest }: Request,
): Promise<IncomingMessage> {
  const { request } = target.url.startsWith('https:') ? await import('node:https') : await import('node:http')
  const bytes = body === undefined ? undefined : Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body))
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const sent = request(`${target.url}/api${path}`, {
    method,
    ...tlsOptions(target),
    ...(signal && { signal }),
    headers: {
      accept: 'application/json',
      ...credentialHeaders(target),
      ...(bytes && { 'content-type': 'application/json', 'content-length': String(bytes.length) }),
      ...headers,
    },
  })
  sent.setTimeout(rest.timeoutMs ?? timeoutMs, () =>
    sent.destroy(new Error(`no answer within ${(rest.timeoutMs ?? timeoutMs) / 1000} s`)),
  )
  sent.once('response', resolve)
  sent.once('error', reject)
  sent.end(bytes)
  return promise
}

async function textOf(message: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of message) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('utf8')
}

/**
 * Sends a request and reads its answer. Lost connections and outages are tried again: reads, and changes with an
 * idempotency key, which the server does once.
 * @throws CommandError
 */
export async function ask<T>(target: Target, given: Request): Promise<Answer<T>> {
  const request = withKey(given)
  const { method = 'GET' } = request
  const mostTries = method === 'GET' || request.headers?.['idempotency-key'] !== undefined ? tries : 1
  for (let number = 1; ; number++) {
    const { answer, error } = await tryOnce(target, request)
    if (answer && answer.status < 400) return answer as Answer<T>
    const pauseMs = answer ? Number(answer.headers['retry-after'] ?? 0) * 1000 : 200 * number
    const isPassing = answer ? [429, 503].includes(answer.status) : !isFinal(error)
    if (isPassing && number < mostTries && pauseMs <= longestPauseMs) {
      await sleep(pauseMs)
      continue
    }
    if (!answer) throw unreachable(target, error)
    throw failureOf(answer.status, answer.body as ErrorBody, { target, method, path: request.path })
  }
}

/** Answers of /auth hold secrets, which must not be stored for a key. */
function withKey(request: Request): Request {
  const { method = 'GET', path, headers } = request
  if (method === 'GET' || path.startsWith('/auth/')) return request
  return { ...request, headers: { 'idempotency-key': crypto.randomUUID(), ...headers } }
}

/** One try: the answer, or the error of the connection. @throws AbortError */
async function tryOnce(target: Target, request: Request): Promise<{ answer?: Answer; error?: unknown }> {
  try {
    const message = await open(target, request)
    const body = parsed(await textOf(message))
    return { answer: { status: message.statusCode ?? 0, headers: message.headers, body } }
  } catch (error) {
    if ((error as Error).name === 'AbortError') throw error
    return { error }
  }
}

function parsed(text: string): unknown {
  if (text === '') return null
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** Errors that another try at once does not change. */
const isFinal = (error: unknown) =>
  isDistrusted(error) ||
  ['ECONNREFUSED', 'ENOTFOUND', 'EPROTO', 'ERR_INVALID_URL'].includes((error as NodeJS.ErrnoException).code ?? '')

const reasons: Record<string, string> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'no such host',
  EPROTO: 'it does not speak TLS; try http://',
}

/** A connection that failed, with the command that would help. */
export function unreachable({ url, context, certificate }: Target, error: unknown): CommandError {
  const { code, message } = error as NodeJS.ErrnoException
  const place = `${url}${context ? ` (context '${context}')` : ''}`
  if (isDistrusted(error)) {
    const text = certificate
      ? `${place} shows another certificate than the one that was accepted before, or it has expired: another server may answer there`
      : `${place} has a certificate that this machine does not trust`
    return new CommandError(text, { code: exitCodes.unreachable, help: [`horcrux login ${url}`], cause: error })
  }
  const why = reasons[code ?? ''] ?? (message || String(code))
  // The current context may be of a server that has ended, while another one runs here.
  const here = context === undefined ? undefined : localUrl()
  const other = here === undefined || here === url ? [] : [`horcrux login ${here}`]
  const isLocal = /\/\/(127\.|localhost|\[::1\])/.test(url)
  return new CommandError(`${place} does not answer: ${why}`, {
    code: exitCodes.unreachable,
    help: [...other, ...(isLocal ? ['npm start', 'horcrux doctor'] : []), 'horcrux context list'],
    cause: error,
  })
}
