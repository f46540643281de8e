import type { Readable } from 'node:stream'
import type { Agent } from 'undici'
import { ConflictError, NotFoundError, UnavailableError } from '#shared/errors.ts'
import { requireCurrent } from '#shared/runtime/request-context.ts'

/** The envelope of every answer (LXD and Incus, "REST API": return values). */
type Envelope = {
  type: 'sync' | 'async' | 'error'
  metadata: unknown
  operation: string
  error: string
  error_code: number
}

/** A background operation of the engine. */
type Operation = {
  status: 'Success' | 'Failure' | 'Cancelled' | 'Running'
  err: string
  status_code: number
  metadata: unknown
}

/** The REST API of an LXD or Incus. All throw UnavailableError when it does not answer. */
export type Api = {
  /** Such as `Incus on node 'a'`, for messages. */
  name: string
  /** Reads the metadata of an answer. */
  get: <T>(path: string) => Promise<T>
  /** Reads a file that the engine keeps, as text. */
  text: (path: string) => Promise<string>
  /** Opens a file that the engine keeps or makes. An answer that breaks off is an error of the body. */
  open: (path: string, signal: AbortSignal) => Promise<{ type: string; body: AsyncIterable<Buffer> }>
  /** Changes something, and waits for the engine's background operation. */
  send: (method: 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, body?: unknown) => Promise<void>
  /** Sends bytes, and waits for the engine's background operation that takes them in. */
  upload: (path: string, content: Upload, signal: AbortSignal) => Promise<void>
  /** Begins a background operation of the engine. `metadata` is what it tells at its beginning, such as secrets of streams. */
  background: (path: string, body: unknown) => Promise<{ operation: string; metadata: unknown }>
  /** Waits for the end of a background operation; a failed one is no error here. */
  ended: (operation: string, seconds: number) => Promise<{ code: number; error: string; metadata: unknown }>
  /** Begins a change, and does not wait for its end. */
  begin: (method: 'PUT', path: string, body: unknown) => Promise<void>
  dispatcher: Agent
  /** A socket of this machine that leads to the engine, for its WebSockets. */
  socketPath: string
}

/** Bytes for the engine; their type and length are in the headers. */
type Upload = { source: Readable; headers: Record<string, string> }

const answerWithinMs = 20_000
/** Time limit of one background operation of the engine. */
export const doneWithinSeconds = 120

/** The API of an engine at the other end of these connections. @param name such as `Incus on node 'a'`, for messages */
export function apiOver(name: string, { dispatcher, socketPath }: Pick<Api, 'dispatcher' | 'socketPath'>): Api {
  const ask = async (method: string, url: string, body?: unknown) => {
    if (method !== 'GET') await requireCurrent()
    return exchange({ dispatcher, name }, method, url, body)
  }
  /** Waits for the background operation that an answer tells of. */
  const finish = async ({ type, operation }: Envelope) => {
    if (type !== 'async') return
    const ended = (await ask('GET', `${operation}/wait?timeout=${doneWithinSeconds}`)).metadata as Operation
    if (ended.status_code === 200) return
    throw refusal(name, ended.status_code, ended.err || `still ${ended.status} after ${doneWithinSeconds} s`)
  }
  return {
    name,
    dispatcher,
    socketPath,
    get: async <T>(url: string) => (await ask('GET', url)).metadata as T,
    text: async (url) => {
      const { statusCode, body } = await respond({ dispatcher, name }, 'GET', url)
      const text = await body.text()
      if (statusCode === 200) return text
      throw refusal(name, statusCode, (JSON.parse(text) as Envelope).error)
    },
    open: async (url, signal) => {
      const { request } = await import('undici')
      const asked = request(`http://engine${url}`, { dispatcher, signal })
      const { statusCode, headers, body } = await asked.catch((cause: unknown) => {
        throw new UnavailableError(`${name} does not answer`, { retryAfterSeconds: 5, cause })
      })
      if (statusCode !== 200) throw refusal(name, statusCode, ((await body.json()) as Envelope).error)
      // A body yields buffers unless it is given an encoding.
      return { type: String(headers['content-type'] ?? ''), body: body as AsyncIterable<Buffer> }
    },
    upload: async (url, { source, headers }, signal) => {
      await requireCurrent()
      const { request } = await import('undici')
      const sent = request(`http://engine${url}`, { dispatcher, method: 'POST', body: source, headers, signal })
      const response = await sent.catch((cause: unknown) => {
        signal.throwIfAborted()
        throw new UnavailableError(`${name} does not answer`, { retryAfterSeconds: 5, cause })
      })
      await finish(await envelopeOf(name, response))
    },
    background: async (url, body) => {
      const { operation, metadata } = await ask('POST', url, body)
      return { operation, metadata: (metadata as Operation).metadata }
    },
    ended: async (operation, seconds) => {
      const { metadata } = await ask('GET', `${operation}/wait?timeout=${seconds}`)
      const { status_code: code, err: error, metadata: more } = metadata as Operation
      return { code, error, metadata: more }
    },
    begin: async (method, url, body) => void (await ask(method, url, body)),
    send: async (method, url, body) => {
      await finish(await ask(method, url, body))
    },
  }
}

type Way = Pick<Api, 'dispatcher' | 'name'>

async function respond({ dispatcher, name }: Way, method: string, path: string, body?: unknown) {
  const { request } = await import('undici')
  try {
    return await request(`http://engine${path}`, {
      dispatcher,
      // The engine's own verbs; undici types them as a union of all there are.
      method: method as 'GET',
      ...(body !== undefined && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
      ...(!path.includes('/wait?') && { signal: AbortSignal.timeout(answerWithinMs) }),
    })
  } catch (error) {
    throw new UnavailableError(`${name} does not answer`, { retryAfterSeconds: 5, cause: error })
  }
}

async function exchange(way: Way, method: string, path: string, body?: unknown): Promise<Envelope> {
  return envelopeOf(way.name, await respond(way, method, path, body))
}

/** @throws the engine's refusal */
async function envelopeOf(name: string, { body }: { body: { json: () => Promise<unknown> } }): Promise<Envelope> {
  const answer = (await body.json()) as Envelope
  if (answer.type === 'error') throw refusal(name, answer.error_code, answer.error)
  return answer
}

/** Messages of conditions that end by themselves. */
const passing = /is busy running|timed? ?out|connection refused|database is locked/i

/** The engine's refusal as one of our errors, in the engine's own words. */
function refusal(name: string, code: number, words: string): Error {
  const message = `${name}: ${words}`
  if (code === 404) return new NotFoundError(message)
  return passing.test(words) ? new UnavailableError(message) : new ConflictError(message)
}
