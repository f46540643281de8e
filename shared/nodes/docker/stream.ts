import type { Duplex } from 'node:stream'
import { UnavailableError } from '#shared/errors.ts'
import type { Host } from '../host/host.ts'

/** The answer of an engine whose body is read as it comes. */
export type OpenAnswer = {
  status: number
  /** The connection, behind the head of the answer: the body, or both directions after an upgrade. */
  socket: Duplex
}

type Request = { method: 'GET' | 'POST'; path: string; body?: object; isUpgrade?: boolean }

const maxHeadBytes = 65_536
const headWithinMs = 20_000

/** An HTTP/1.0 request: the engine then sends the body as it is, without chunks, and ends it with the connection. */
function headOf({ method, path, body, isUpgrade }: Request): string {
  const text = body === undefined ? '' : JSON.stringify(body)
  const lines = [
    `${method} ${path} HTTP/1.${isUpgrade ? 1 : 0}`,
    'Host: engine',
    ...(isUpgrade ? ['Connection: Upgrade', 'Upgrade: tcp'] : []),
    ...(body === undefined ? [] : ['Content-Type: application/json']),
    ...(method === 'POST' ? [`Content-Length: ${Buffer.byteLength(text)}`] : []),
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
  socket.write(headOf(request))
  try {
    const { head, rest } = await readHead(socket)
    if (rest.length > 0) socket.unshift(rest)
    return { status: Number(/^HTTP\/1\.\d (\d{3})/.exec(head)?.[1] ?? 0), socket }
  } catch (error) {
    socket.destroy()
    throw new UnavailableError(`${name} does not answer`, { cause: error })
  }
}

function readHead(socket: Duplex): Promise<{ head: string; rest: Buffer }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ head: string; rest: Buffer }>()
  let got = Buffer.alloc(0)
  const timer = setTimeout(() => reject(new Error('no answer in time')), headWithinMs)
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
