import { signal } from '@preact/signals'
import type { StreamEvent } from './changes.ts'
import { holdSocket } from './socket.ts'

/** Since when the event stream is cut (milliseconds), or null while it is open. */
export const cutSince = signal<number | null>(null)
/** True once it was cut for 3 seconds: changes are off, and a banner shows the age of the data. */
export const isOffline = signal(false)

type Listener = { event: (event: StreamEvent) => void; resync: () => void }
const listeners = new Set<Listener>()
export const listen = (listener: Listener) => listeners.add(listener)

const bannerAfterMs = 3000
/** A new leader waits for the last events of the other tabs. */
const gatherMs = 150
let lastSeq: number | undefined

/** Between the tabs: one, the leader, holds the socket for all of them. */
type Message =
  | { is: 'event'; event: StreamEvent }
  | { is: 'state'; cutSince: number | null }
  /** A tab that has just begun asks for the state. */
  | { is: 'ask' }
  /** A new leader asks for the last events of the others: it goes on from the oldest of them. */
  | { is: 'last'; seq?: number }
  | { is: 'probe' }
const lockName = 'horcrux-events'
const channel = new BroadcastChannel('horcrux-events')
// A channel has no target origin: it is of this origin only.
// oxlint-disable-next-line unicorn/require-post-message-target-origin
const tell = (message: Message) => channel.postMessage(message)

/** Tries at once to open a lost socket; only the leader has it. */
let tryNow: (() => void) | undefined

function setCut(since: number | null): void {
  const before = cutSince.peek()
  cutSince.value = since
  if (since === null) isOffline.value = false
  else if (before === null) setTimeout(() => (isOffline.value = cutSince.value !== null), bannerAfterMs)
}

function deliver(event: StreamEvent): void {
  if (event.type === 'Subscribed') setCut(null)
  else if (event.type === 'Resync') for (const { resync } of listeners) resync()
  else if (event.type !== 'Ping' && event.type !== 'Error') for (const each of listeners) each.event(event)
  if (event.type !== 'Error') lastSeq = event.seq
}

function lead(): void {
  tryNow = holdSocket({
    event: (event) => {
      deliver(event)
      tell({ is: 'event', event })
    },
    cut: () => {
      setCut(cutSince.peek() ?? Date.now())
      tell({ is: 'state', cutSince: cutSince.peek() })
    },
    from: () => lastSeq,
  })
}

channel.addEventListener('message', ({ data }: MessageEvent<Message>) => {
  switch (data.is) {
    case 'event':
      return deliver(data.event)
    case 'state':
      return setCut(data.cutSince)
    case 'ask':
      return tryNow && tell({ is: 'state', cutSince: cutSince.peek() })
    case 'last':
      // An event that is seen twice is read twice; one that is missed would be lost.
      if (data.seq !== undefined) lastSeq = Math.min(lastSeq ?? data.seq, data.seq)
      else if (lastSeq !== undefined) tell({ is: 'last', seq: lastSeq })
      return undefined
    case 'probe':
      return tryNow?.()
  }
})

let isBegun = false

/**
 * Follows the event stream. The tab that has the lock leads until it is closed, and the next one takes over from the oldest
 * event that any tab has seen last. Without locks, which browsers have over HTTPS and on this machine only, each tab leads.
 */
export function openStream(): void {
  if (isBegun) return tryAgain()
  isBegun = true
  // The page's types take it as always there.
  const locks = navigator.locks as LockManager | undefined
  if (!locks) return lead()
  tell({ is: 'ask' })
  void locks.request(lockName, async () => {
    const { pending = [] } = await locks.query()
    if (pending.some(({ name }) => name === lockName)) {
      tell({ is: 'last' })
      await new Promise((resolve) => setTimeout(resolve, gatherMs))
    }
    lead()
    // The lock is held for the life of the tab.
    await new Promise(() => undefined)
  })
}

function tryAgain(): void {
  if (tryNow) tryNow()
  else tell({ is: 'probe' })
}

/** After sleep or a lost network the next try comes at once. */
function probe(): void {
  if (cutSince.value !== null && document.visibilityState !== 'hidden') tryAgain()
}
addEventListener('online', probe)
document.addEventListener('visibilitychange', probe)
