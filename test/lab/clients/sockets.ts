import { WebSocket } from 'ws'
import { until } from '../wait.ts'

export type Envelope = {
  seq: number
  type: string
  time: string
  topic: string | null
  data: Record<string, unknown>
}

/** A WebSocket of a test, with all that came over it. */
export type TestSocket = {
  socket: WebSocket
  received: Envelope[]
  /** The events, without messages about the connection itself. */
  events: () => Envelope[]
  closed: Promise<{ code: number; reason: string }>
  send: (message: unknown) => void
  /** The first message of this type, as soon as it is there. */
  next: (type: string) => Promise<Envelope>
}

const own = new Set(['Ping', 'Subscribed', 'Error', 'Resync'])

/** Opens a WebSocket at a gateway's address; the first message may be sent at once. */
export async function openSocket(
  url: string,
  { headers = {}, query = '', first }: { headers?: Record<string, string>; query?: string; first?: unknown } = {},
): Promise<TestSocket> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/api/ws${query}`, { headers })
  const received: Envelope[] = []
  socket.on('message', (data) => received.push(JSON.parse(String(data)) as Envelope))
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.on('close', (code, reason) => resolve({ code, reason: String(reason) }))
  })
  await new Promise<void>((resolve, reject) => {
    socket.once('open', resolve).once('error', reject)
  })
  socket.on('error', () => undefined)
  const send = (message: unknown) => socket.send(JSON.stringify(message))
  if (first !== undefined) send(first)
  return {
    socket,
    received,
    events: () => received.filter(({ type }) => !own.has(type)),
    closed,
    send,
    next: (type) => until(() => received.find((message) => message.type === type), { what: `a message ${type}` }),
  }
}
