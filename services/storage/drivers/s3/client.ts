import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type ClientRequest, type IncomingMessage, request as httpRequest } from 'node:http'
import type { Duplex } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { connect } from 'node:tls'
import { XMLParser } from 'fast-xml-parser'
import type { PoolConfig } from '#shared/contracts/storage/pool-kinds.ts'
import { AppError, ConflictError, NotFoundError, UnavailableError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { encode, queryText, signed } from './signature.ts'

/** A request about the bucket, or about an object in it. */
export type Asked = {
  method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE'
  /** The whole name of an object. */
  name?: string
  query?: Record<string, string>
  headers?: Record<string, string>
  body?: Buffer
  signal?: AbortSignal | undefined
}
/** An answer of any status that is no error of the store. `tries`: how often the request was sent. */
export type Answer = { status: number; headers: IncomingMessage['headers']; text: string; tries: number }

type Config = PoolConfig<'s3'>

/** A store that is silent for so long does not answer. Milliseconds. */
const silentMs = 30_000
const tries = 4
const firstPauseMs = 200

const parser = new XMLParser({ parseTagValue: false, ignoreDeclaration: true, htmlEntities: true })
/** The document of an answer; empty for none. */
export function documentOf(text: string): Record<string, unknown> {
  // XMLParser gives an object with the name of the root.
  const [root] = Object.values(parser.parse(text) as Record<string, unknown>)
  return typeof root === 'object' && root !== null ? (root as Record<string, unknown>) : {}
}

const nameOf = ({ endpoint, bucket }: Config) => `${endpoint}/${bucket}`

async function connected(host: Host, { endpoint, ca }: Config): Promise<Duplex> {
  const { protocol, hostname, port } = new URL(endpoint)
  const name = hostname.replace(/^\[(.*)\]$/, '$1')
  const isTls = protocol === 'https:'
  const socket = await host.openSocket({ host: name, port: Number(port) || (isTls ? 443 : 80) })
  if (!isTls) return socket
  const isAddress = /^[\d.]+$|:/.test(name)
  const secure = connect({ socket, host: name, ...(!isAddress && { servername: name }), ...(ca !== null && { ca }) })
  await once(secure, 'secureConnect').catch((error: Error) => {
    socket.destroy()
    throw new UnavailableError(`${endpoint} does not prove who it is: ${error.message}`, { cause: error })
  })
  return secure
}

/** Sends a request once. @returns its answer, of which the body is not read yet */
async function send(host: Host, config: Config, asked: Asked): Promise<IncomingMessage> {
  const { method, name = '', query = {}, headers = {}, body = Buffer.alloc(0), signal } = asked
  const url = new URL(config.endpoint)
  const path = `/${[config.bucket, ...name.split('/')].filter(Boolean).map(encode).join('/')}`
  const more = { ...headers, ...(['PUT', 'POST'].includes(method) && { 'content-length': String(body.length) }) }
  const bodySha256 = createHash('sha256').update(body).digest('hex')
  const unsigned = { method, host: url.host, path, query, headers: more, bodySha256 }
  const socket = await connected(host, config)
  const words = queryText(query)
  const request: ClientRequest = httpRequest({
    createConnection: () => socket,
    method,
    path: words === '' ? path : `${path}?${words}`,
    headers: signed(unsigned, config, new Date()),
    ...(signal && { signal }),
  })
  const silent = new Error(`no answer within ${silentMs / 1000} s`)
  const timer = setTimeout(() => request.destroy(silent), silentMs)
  // A body that goes on is no silence.
  socket.on('drain', () => timer.refresh())
  try {
    request.end(body)
    const [answer] = (await once(request, 'response')) as [IncomingMessage]
    answer.once('close', () => socket.destroy())
    return answer
  } catch (error) {
    socket.destroy()
    throw error
  } finally {
    clearTimeout(timer)
    request.on('error', () => undefined)
  }
}

async function textOf(answer: IncomingMessage): Promise<string> {
  const late = setTimeout(() => answer.destroy(new Error('the answer broke off')), silentMs)
  try {
    return Buffer.concat((await answer.toArray()) as Buffer[]).toString('utf8')
  } finally {
    clearTimeout(late)
  }
}

/** Statuses after which the same request may succeed. A store that is asked too often answers 503 or 429. */
const passing = new Set([408, 429, 500, 502, 503, 504])

/** The error of an answer; null for one that the caller decides about. */
function errorOf(config: Config, { status, text }: Pick<Answer, 'status' | 'text'>): AppError | null {
  const { Code: code = '', Message: message = '' } = documentOf(text) as { Code?: string; Message?: string }
  const said = `${nameOf(config)}: ${[status, code, message].filter((word) => word !== '').join(' ')}`
  if (passing.has(status) || code === 'ConditionalRequestConflict') return new UnavailableError(said)
  if (code === 'NoSuchBucket') return new NotFoundError(said)
  // A completion may fail after its head was sent.
  if (status < 300) return code === '' ? null : new UnavailableError(said)
  if ([304, 404, 412, 416].includes(status)) return null
  return new ConflictError(said)
}

/** Sends a request until it is answered, a few times. @throws UnavailableError, NotFoundError for the bucket, ConflictError */
async function insisting<T>(config: Config, asked: Asked, once: (tried: number) => Promise<T>): Promise<T> {
  for (let tried = 1; ; tried++) {
    try {
      return await once(tried)
    } catch (error) {
      asked.signal?.throwIfAborted()
      if (error instanceof AppError && !(error instanceof UnavailableError)) throw error
      if (tried === tries) {
        if (error instanceof UnavailableError) throw error
        throw new UnavailableError(`${nameOf(config)} does not answer: ${(error as Error).message}`, { cause: error })
      }
      await delay(firstPauseMs * 2 ** (tried - 1), undefined, { signal: asked.signal })
    }
  }
}

/** Sends a request and reads the answer. 304, 404, 412 and 416 are answers, not errors. */
export const ask = (host: Host, config: Config, asked: Asked): Promise<Answer> =>
  insisting(config, asked, async (tried) => {
    const answer = await send(host, config, asked)
    const found = { status: answer.statusCode ?? 0, headers: answer.headers, text: await textOf(answer), tries: tried }
    const error = errorOf(config, found)
    if (error) throw error
    return found
  })

/** Sends a request whose answer is a body of any length. @returns null for an object, or a part of it, that is not there */
export const read = (host: Host, config: Config, asked: Asked): Promise<IncomingMessage | null> =>
  insisting(config, asked, async () => {
    const answer = await send(host, config, asked)
    const status = answer.statusCode ?? 0
    if (status === 200 || status === 206) return answer
    const error = errorOf(config, { status, text: await textOf(answer) })
    if (error) throw error
    return null
  })
