import { Agent, request } from 'undici'
import { ConflictError, NotFoundError, UnavailableError } from '#shared/errors.ts'
import type { Forward } from '#shared/nodes/host/host.ts'
import type { Reached } from '#shared/nodes/nodes.ts'
import { type EngineKind, socketOf } from './engine.ts'

/** The envelope of every answer (LXD and Incus, "REST API": return values). */
type Envelope = {
  type: 'sync' | 'async' | 'error'
  metadata: unknown
  operation: string
  error: string
  error_code: number
}

/** A background operation of the engine. */
type Operation = { status: 'Success' | 'Failure' | 'Cancelled' | 'Running'; err: string; status_code: number }

export type Engine = {
  /** Such as `Incus on node 'a'`, for messages. */
  name: string
  /** What an answer carries. */
  get: <T>(path: string) => Promise<T>
  /** A file that the engine keeps, as text. */
  text: (path: string) => Promise<string>
  /** Does something; what the engine does in the background is waited for. */
  send: (method: 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, body?: unknown) => Promise<void>
  /** Has the engine begin something, and does not wait for its end. */
  begin: (method: 'PUT', path: string, body: unknown) => Promise<void>
  dispatcher: Agent
}

const answerWithinMs = 20_000
/** What an engine may take for one thing that it does in the background. */
const doneWithinSeconds = 120

type Opened = { forward: Forward; dispatcher: Agent }
const opened = new Map<string, { key: string; opened: Promise<Opened> }>()

/**
 * LXD or Incus of a node, over its Unix socket, wherever the node is. One connection pool per engine for the process.
 * @throws UnavailableError when the node has no such engine, or it does not answer
 */
export async function engineOf(reached: Reached, kind: EngineKind): Promise<Engine> {
  const name = `${kind === 'lxd' ? 'LXD' : 'Incus'} on node '${reached.node.id}'`
  const path = await socketOf(reached, kind)
  if (path === null) throw new UnavailableError(`${name} is not there: no socket was found`, { retryAfterSeconds: 30 })
  const { dispatcher } = await open(reached, path)
  const ask = (method: string, url: string, body?: unknown) => exchange({ dispatcher, name }, method, url, body)
  return {
    name,
    dispatcher,
    get: async <T>(url: string) => (await ask('GET', url)).metadata as T,
    text: async (url) => {
      const { statusCode, body } = await respond({ dispatcher, name }, 'GET', url)
      const text = await body.text()
      if (statusCode === 200) return text
      throw refusal(name, statusCode, (JSON.parse(text) as Envelope).error)
    },
    begin: async (method, url, body) => void (await ask(method, url, body)),
    send: async (method, url, body) => {
      const { type, operation } = await ask(method, url, body)
      if (type !== 'async') return
      const ended = (await ask('GET', `${operation}/wait?timeout=${doneWithinSeconds}`)).metadata as Operation
      if (ended.status_code === 200) return
      throw refusal(name, ended.status_code, ended.err || `still ${ended.status} after ${doneWithinSeconds} s`)
    },
  }
}

/** The pool of connections to a socket of a node; made anew when the node is reached otherwise than before. */
async function open(reached: Reached, path: string): Promise<Opened> {
  const { node, host } = reached
  const id = `${node.id} ${path}`
  const key = host.describe()
  const there = opened.get(id)
  if (there?.key === key) return there.opened
  void there?.opened.then(close, () => undefined)
  const made = host.forwardSocket({ path }).then((forward) => ({
    forward,
    dispatcher: new Agent({ connect: { socketPath: forward.path }, headersTimeout: (doneWithinSeconds + 10) * 1000 }),
  }))
  opened.set(id, { key, opened: made })
  made.catch(() => opened.delete(id))
  return made
}

async function close({ forward, dispatcher }: Opened): Promise<void> {
  await dispatcher.destroy()
  await forward.close()
}

/** Lets go of all engines; for the end of the process. */
export async function closeEngines(): Promise<void> {
  const all = [...opened.values()]
  opened.clear()
  await Promise.all(all.map(async (each) => each.opened.then(close, () => undefined)))
}

type Way = Pick<Engine, 'dispatcher' | 'name'>

async function respond({ dispatcher, name }: Way, method: string, path: string, body?: unknown) {
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
  const response = await respond(way, method, path, body)
  const answer = (await response.body.json()) as Envelope
  if (answer.type === 'error') throw refusal(way.name, answer.error_code, answer.error)
  return answer
}

/** What an engine says of what will be over by itself. */
const passing = /is busy running|timed? ?out|connection refused|database is locked/i

/** What an engine refuses, with its own words: it knows best why. */
function refusal(name: string, code: number, words: string): Error {
  const message = `${name}: ${words}`
  if (code === 404) return new NotFoundError(message)
  return passing.test(words) ? new UnavailableError(message) : new ConflictError(message)
}
