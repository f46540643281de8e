import { WebSocket } from 'ws'
import { until } from '../wait.ts'

/** A container's WebSocket of a test, with all that came over it. */
export type StreamSocket = {
  socket: WebSocket
  stdout: () => string
  stderr: () => string
  /** The JSON texts that came. */
  texts: () => Record<string, unknown>[]
  /** Resolves when this text has come. */
  shows: (text: string) => Promise<unknown>
  type: (text: string) => void
  tell: (message: object) => void
  closed: Promise<{ code: number; reason: string }>
}

type Refusal = Error & { status: number }

/** Opens a WebSocket of a container. @throws Refusal when the server answers anything else */
export async function openStreamSocket(
  url: string,
  path: string,
  headers: Record<string, string> = {},
): Promise<StreamSocket> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}${path}`, 'binary', { headers })
  const parts: Record<1 | 2, Buffer[]> = { 1: [], 2: [] }
  const texts: Record<string, unknown>[] = []
  socket.on('message', (data: Buffer, isBinary) => {
    if (!isBinary) return texts.push(JSON.parse(data.toString('utf8')) as Record<string, unknown>)
    return parts[data[0] as 1 | 2].push(data.subarray(1))
  })
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.on('close', (code, reason) => resolve({ code, reason: String(reason) }))
  })
  await new Promise<void>((resolve, reject) => {
    socket.once('open', resolve).once('error', reject)
    socket.once('unexpected-response', (_, answer) => {
      answer.resume()
      reject(Object.assign(new Error('refused'), { status: answer.statusCode ?? 0 }) as Refusal)
    })
  })
  socket.on('error', () => undefined)
  const textOf = (stream: 1 | 2) => Buffer.concat(parts[stream]).toString('utf8')
  return {
    socket,
    stdout: () => textOf(1),
    stderr: () => textOf(2),
    texts: () => texts,
    shows: (text) => until(() => textOf(1).includes(text), { what: `'${text}' in ${JSON.stringify(textOf(1))}` }),
    type: (text) => socket.send(Buffer.from(text)),
    tell: (message) => socket.send(JSON.stringify(message)),
    closed,
  }
}
