import type Docker from 'dockerode'
import { AppError, ConflictError, NotFoundError, UnavailableError } from '#shared/errors.ts'
import { requireCurrent } from '#shared/runtime/request-context.ts'
import { type OpenAnswer, openStream } from './stream.ts'
import { openUpload, type Upload } from './upload.ts'
import type { Host } from '../host/host.ts'

export type StreamRequest = Parameters<typeof openStream>[3]

/** The API that Docker and Podman share. All methods throw UnavailableError when the engine does not answer. */
export type DockerApi = {
  /** Such as `Docker on node 'a'`, for messages. */
  name: string
  /** A call that changes nothing. */
  ask: <T>(work: (docker: Docker) => Promise<T>) => Promise<T>
  /** A call that changes something. @param timeoutMs time without an answer; default 60,000 */
  change: <T>(work: (docker: Docker) => Promise<T>, timeoutMs?: number) => Promise<T>
  /** A request of a path that dockerode does not know. @returns the parsed answer, undefined without one */
  send: (method: 'GET' | 'POST', path: string, body?: object) => Promise<unknown>
  /** A change of a path that dockerode does not know, whose answer tells nothing. */
  post: (path: string, body?: object) => Promise<void>
  /** An answer that is read as it comes. @throws NotFoundError, ConflictError with the engine's words */
  stream: (request: StreamRequest) => Promise<OpenAnswer>
  /** Sends a tar archive by PUT. `end` waits for the answer. @throws NotFoundError, ConflictError with the engine's words */
  upload: (path: string) => Promise<Pick<Upload, 'input' | 'close'> & { end: () => Promise<void> }>
}

const answerWithinMs = 20_000
const changeWithinMs = 60_000

/**
 * @param socket the engine's socket on the host, for streams
 * @param local a socket of this machine that leads to it, for dockerode
 */
export function dockerApi(name: string, host: Host, socket: string, local: string): DockerApi {
  const over = async (timeout: number): Promise<Docker> => {
    // Loaded at its first use: a process without such an engine spares the memory.
    const { default: Dockerode } = await import('dockerode')
    return new Dockerode({ socketPath: local, timeout })
  }
  const stream = async (request: StreamRequest) => {
    if (request.method === 'POST') await requireCurrent()
    const answer = await openStream(host, socket, name, request)
    if (answer.status >= 400) throw refusal(name, answer.status, await textOf(answer))
    return answer
  }
  return {
    name,
    stream,
    ask: async (work) => translated(name, async () => work(await over(answerWithinMs))),
    change: async (work, timeoutMs = changeWithinMs) => {
      await requireCurrent()
      return translated(name, async () => work(await over(timeoutMs)))
    },
    upload: async (path) => {
      await requireCurrent()
      const { input, close, answer } = await openUpload(host, socket, name, path)
      const end = async () => {
        const { status, text } = await answer()
        if (status >= 400) throw refusal(name, status, text)
      }
      return { input, close, end }
    },
    post: async (path, body) => {
      await textOf(await stream({ method: 'POST', path, ...(body !== undefined && { body }) }))
    },
    send: async (method, path, body) => {
      const text = await textOf(await stream({ method, path, ...(body !== undefined && { body }) }))
      return text === '' ? undefined : JSON.parse(text)
    },
  }
}

async function textOf({ socket }: OpenAnswer): Promise<string> {
  const parts: Buffer[] = []
  for await (const part of socket as AsyncIterable<Buffer>) parts.push(part)
  return Buffer.concat(parts).toString('utf8')
}

/** An error of dockerode: with a status, when the engine has refused. */
type Thrown = Error & { statusCode?: number; json?: { message?: string; cause?: string }; code?: string }

async function translated<T>(name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof AppError) throw error
    const { statusCode, json, message, code } = error as Thrown
    if (statusCode !== undefined) throw refusal(name, statusCode, json?.message ?? message)
    // Errors of the connection have the code of a system call; all others are bugs.
    if (code === undefined && !/socket hang up|aborted|timed? ?out/i.test(message)) throw error
    throw new UnavailableError(`${name} does not answer`, { cause: error })
  }
}

/** Words of refusals that end by themselves. */
const passing = /is restarting|removal .* in progress|context deadline exceeded|timeout waiting|connection refused/i

/** The engine's refusal as one of our errors, in the engine's own words. */
function refusal(name: string, status: number, text: string): Error {
  const words = wordsIn(text)
  const message = `${name}: ${words}`
  if (status === 404) return new NotFoundError(message)
  return passing.test(words) ? new UnavailableError(message) : new ConflictError(message, { details: { status } })
}

function wordsIn(text: string): string {
  try {
    const { message } = JSON.parse(text) as { message?: string }
    return message ?? text
  } catch {
    return text.trim()
  }
}
