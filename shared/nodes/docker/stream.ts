import type { Duplex, Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { UnavailableError } from '#shared/errors.ts'
import type { Host } from '../host/host.ts'

/** The answer of an engine whose body is read as it comes. */
export type OpenAnswer = {
  status: number
  /** The connection, behind the head of the answer: the body, or both directions after an upgrade. */
  socket: Duplex
}

/** Bytes that are sent as the body of a request. */
export type Content = { source: Readable; bytes: number; type: string }

type Request = {
  method: 'GET' | 'POST' | 'DELETE'
  path: string
  body?: object
  content?: Content
  /** Further headers. They may hold credentials: no message names them. */
  headers?: Record<string, string>
  isUpgrade?: boolean
  /** Aborting closes the connection. */
  signal?: AbortSignal
  /** Time without the head of an answer; default 20,000. */
  answerWithinMs?: number
}

const maxHeadBytes = 65_536
const usualAnswerMs = 20_000

/** An HTTP/1.0 request: the engine then sends the body as it is, without chunks, and ends it with the connection. */
function headOf({ method, path, body, content, headers = {}, isUpgrade }: Request): string {
  const text = body === undefined ? '' : JSON.stringify(body)
  const length = content?.bytes ?? Buffer.byteLength(text)
  const lines = [
    `${method} ${path} HTTP/1.${isUpgrade ? 1 : 0}`,
    'Host: engine',
    ...(isUpgrade ? ['Connection: Upgrade', 'Upgrade: tcp'] : []),
    ...(body === undefined ? [] : ['Content-Type: application/json']),
    ...(content ? [`Content-Type: ${content.type}`] : []),
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    ...(method === 'POST' ? [`Content-Length: ${length}`] : []),
  ]
  return `${lines.join('\r\n')}\r\n\r\n${text}`
}

/**
 * Sends a request over a socket of the host, and returns the connection once the head of the answer is there. For streams
 * only: exec, attach, logs, events, statistics.
 * @param name the engine, for messages
 * @throws UnavailableError when the engine does not answer
 */
export async function openStream(host: Host, socketPath: string, name: string, request: Request): Promise<OpenAnswer> {
  const socket = await host.openSocket({ path: socketPath })
  socket.on('error', () => undefined)
  closeWith(request.signal, socket)
  socket.write(headOf(request))
  try {
    // The engine may answer before it has read everything: its answer tells more than a broken pipe.
    const sent = request.content ? pipeline(request.content.source, socket, { end: false }) : Promise.resolve()
    sent.catch(() => undefined)
    const { head, rest } = await readHead(socket, request.answerWithinMs ?? usualAnswerMs)
    if (rest.length > 0) socket.unshift(rest)
    return { status: Number(/^HTTP\/1\.\d (\d{3})/.exec(head)?.[1] ?? 0), socket }
  } catch (error) {
    socket.destroy()
    throw new UnavailableError(`${name} does not answer`, { cause: error })
  }
}

function closeWith(signal: AbortSignal | undefined, socket: Duplex): void {
  if (!signal) return
  const close = () => void socket.destroy()
  if (signal.aborted) return close()
  signal.addEventListener('abort', close, { once: true })
  socket.once('close', () => signal.removeEventListener('abort', close))
}

function readHead(socket: Duplex, withinMs: number): Promise<{ head: string; rest: Buffer }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ head: string; rest: Buffer }>()
  let got = Buffer.alloc(0)
  const timer = setTimeout(() => reject(new Error('no answer in time')), withinMs)
  const onClose = () => reject(new Error('the connection ended before an answer'))
  const onReadable = () => {
    for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read() as Buffer | null) {
      got = Buffer.concat([got, chunk])
      const end = got.indexOf('\r\n\r\n')
      if (end >= 0) return resolve({ head: got.toString('latin1', 0, end), rest: got.subarray(end + 4) })
      if (got.length > maxHeadBytes) return reject(new Error('the head of the answer is too long'))
    }
  }
  socket.on('readable', onReadable).once('close', onClose).once('end', onClose)
  return promise.finally(() => {
    clearTimeout(timer)
    socket.off('readable', onReadable).off('close', onClose).off('end', onClose)
  })
}
