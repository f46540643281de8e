import { signal } from '@preact/signals'
import { topics } from 'virtual:actions'
import type { StreamEvent } from './changes.ts'

/** Since when the event stream is cut (milliseconds), or null while it is open. */
export const cutSince = signal<number | null>(null)
/** True once it was cut for 3 seconds: changes are off, and a banner shows the age of the data. */
export const isOffline = signal(false)

type Listener = { event: (event: StreamEvent) => void; resync: () => void }
const listeners = new Set<Listener>()
export const listen = (listener: Listener) => listeners.add(listener)

const bannerAfterMs = 3000
const longestPauseMs = 10_000
/** Silence after which the stream counts as dead: the gateway pings every 30 s. */
const silenceMs = 75_000
let socket: WebSocket | undefined
let lastSeq: number | undefined
let failures = 0
let retry: ReturnType<typeof setTimeout> | undefined
let silence: ReturnType<typeof setTimeout> | undefined

function watchSilence(): void {
  clearTimeout(silence)
  silence = setTimeout(() => socket?.close(), silenceMs)
}

function opened(): void {
  failures = 0
  cutSince.value = null
  isOffline.value = false
}

function receive(event: StreamEvent): void {
  watchSilence()
  if (event.type === 'Subscribed') opened()
  else if (event.type === 'Resync') for (const { resync } of listeners) resync()
  else if (event.type !== 'Ping' && event.type !== 'Error') for (const each of listeners) each.event(event)
  if (event.type !== 'Error') lastSeq = event.seq
}

/** Opens the stream, and again after each cut, from the last event on: no event is missed or seen twice. */
export function openStream(): void {
  clearTimeout(retry)
  if (socket && socket.readyState <= WebSocket.OPEN) return
  const address = new URL('/api/ws', location.href)
  address.protocol = location.protocol.replace('http', 'ws')
  const made = new WebSocket(address)
  socket = made
  made.addEventListener('open', () => {
    made.send(JSON.stringify({ topics, ...(lastSeq !== undefined && { from: lastSeq }) }))
    watchSilence()
  })
  // The gateway's own frames.
  made.addEventListener('message', ({ data }) => receive(JSON.parse(String(data)) as StreamEvent))
  made.addEventListener('close', () => {
    if (socket !== made) return
    socket = undefined
    cutSince.value ??= Date.now()
    setTimeout(() => (isOffline.value = cutSince.value !== null), bannerAfterMs)
    const pause = Math.min(longestPauseMs, 250 * 2 ** failures++) * (0.75 + Math.random() / 2)
    retry = setTimeout(openStream, pause)
  })
}

/** After sleep or a lost network the next try comes at once. */
function probe(): void {
  if (cutSince.value === null || document.visibilityState === 'hidden') return
  failures = 0
  openStream()
}
addEventListener('online', probe)
document.addEventListener('visibilitychange', probe)
