import { topics } from 'virtual:actions'
import type { StreamEvent } from './changes.ts'

/** Hears of the socket that this tab holds for all tabs. */
type Hearing = {
  event: (event: StreamEvent) => void
  /** The socket was lost; the next try comes by itself. */ cut: () => void
  /** The last event that was seen, from which the next socket goes on. */ from: () => number | undefined
}

const longestPauseMs = 10_000
/** Silence after which the stream counts as dead: the gateway pings every 30 s. */
const silenceMs = 75_000

/** Opens the event stream, and again after each cut, from the last event on: no event is missed. @returns tries at once */
export function holdSocket({ event: hear, cut, from }: Hearing): () => void {
  let socket: WebSocket | undefined
  let failures = 0
  let retry: ReturnType<typeof setTimeout> | undefined
  let silence: ReturnType<typeof setTimeout> | undefined
  const watchSilence = () => {
    clearTimeout(silence)
    silence = setTimeout(() => socket?.close(), silenceMs)
  }
  const open = () => {
    clearTimeout(retry)
    if (socket && socket.readyState <= WebSocket.OPEN) return
    const address = new URL('/api/ws', location.href)
    address.protocol = location.protocol.replace('http', 'ws')
    const made = new WebSocket(address)
    socket = made
    made.addEventListener('open', () => {
      const seq = from()
      made.send(JSON.stringify({ topics, ...(seq !== undefined && { from: seq }) }))
      watchSilence()
    })
    made.addEventListener('message', ({ data }) => {
      watchSilence()
      // The gateway's own frames.
      const event = JSON.parse(String(data)) as StreamEvent
      if (event.type === 'Subscribed') failures = 0
      hear(event)
    })
    made.addEventListener('close', () => {
      if (socket !== made) return
      socket = undefined
      cut()
      const pause = Math.min(longestPauseMs, 250 * 2 ** failures++) * (0.75 + Math.random() / 2)
      retry = setTimeout(open, pause)
    })
  }
  open()
  return () => {
    failures = 0
    open()
  }
}
