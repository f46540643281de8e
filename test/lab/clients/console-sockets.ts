import { WebSocket } from 'ws'
import { until } from '../wait.ts'

/** A console's WebSocket of a test, with all that came over it. */
export type ConsoleSocket = {
  socket: WebSocket
  bytes: () => Buffer
  /** Resolves when this text has come. */
  shows: (text: string) => Promise<unknown>
  closed: Promise<{ code: number; reason: string }>
}

type Refusal = Error & { status: number; body: Record<string, unknown> }

/** Opens a console. @throws Refusal when the server answers anything but a WebSocket */
export async function openConsole(
  url: string,
  path: string,
  headers: Record<string, string> = {},
): Promise<ConsoleSocket> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}${path}`, 'binary', { headers })
  const chunks: Buffer[] = []
  // Messages come as one Buffer unless another binaryType is asked for.
  socket.on('message', (data) => chunks.push(data as Buffer))
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.on('close', (code, reason) => resolve({ code, reason: String(reason) }))
  })
  await new Promise<void>((resolve, reject) => {
    socket.once('open', resolve).once('error', reject)
    socket.once('unexpected-response', (_, answer) => {
      const parts: Buffer[] = []
      answer.on('data', (part: Buffer) => parts.push(part))
      answer.on('end', () => {
        const body = JSON.parse(Buffer.concat(parts).toString()) as Record<string, unknown>
        reject(Object.assign(new Error(String(body['message'])), { status: answer.statusCode ?? 0, body }) as Refusal)
      })
    })
  })
  socket.on('error', () => undefined)
  const bytes = () => Buffer.concat(chunks)
  const shows = (text: string) => until(() => bytes().includes(text), { what: `'${text}' on the console` })
  return { socket, bytes, shows, closed }
}
