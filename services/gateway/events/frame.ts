import type { Event, EventType, Topic } from '#shared/contracts/core/events.ts'
import type { Placed } from '#shared/events/stream.ts'

/** Transport of events to a subscriber. */
export type Medium = 'ws' | 'sse'

/** An event made ready for all its readers: its bytes are made once for each medium. */
export type Frame = {
  seq: number
  type: EventType
  topic: Topic
  data: Record<string, unknown>
  for: Event['for']
  /** It tells a lower version of a record than an event before it: nobody is given it. */
  isOutdated: boolean
  bytes: Record<Medium, Buffer>
}

/** Messages about the connection itself. */
export type Control = 'Ping' | 'Subscribed' | 'Error' | 'Resync'

/** A text message of the WebSocket protocol from a server: final, not masked (RFC 6455 5.2). */
export function webSocketFrame(text: string): Buffer {
  const size = Buffer.byteLength(text)
  const head = size < 126 ? 2 : size < 65_536 ? 4 : 10
  const frame = Buffer.allocUnsafe(head + size)
  frame[0] = 0x81
  if (head === 2) frame[1] = size
  else if (head === 4) {
    frame[1] = 126
    frame.writeUInt16BE(size, 2)
  } else {
    frame[1] = 127
    frame.writeBigUInt64BE(BigInt(size), 2)
  }
  frame.write(text, head)
  return frame
}

const serverSentEvent = (seq: number, text: string) => Buffer.from(`id: ${seq}\ndata: ${text}\n\n`)

/** Nearly all readers are WebSockets: the other form is made when somebody wants it. */
function encoded(seq: number, text: string): Record<Medium, Buffer> {
  let made: Buffer | undefined
  return {
    ws: webSocketFrame(text),
    get sse() {
      return (made ??= serverSentEvent(seq, text))
    },
  }
}

export function frameOf({ seq, event }: Placed, isOutdated = false): Frame {
  const { type, time, topic, data } = event
  return {
    seq,
    type,
    topic,
    data,
    for: event.for,
    isOutdated,
    bytes: encoded(seq, JSON.stringify({ seq, type, time, topic, data })),
  }
}

/** A message of the connection itself, in the same envelope; `seq` is where the reader is. */
export const controlBytes = (medium: Medium, seq: number, type: Control, data: unknown): Buffer =>
  encoded(seq, JSON.stringify({ seq, type, time: new Date().toISOString(), topic: null, data }))[medium]
