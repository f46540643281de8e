import { setTimeout as delay } from 'node:timers/promises'
import type { EngineEvent } from '../engine.ts'
import { eventFeed, type Feed } from '../event-feed.ts'
import type { Api } from './client.ts'

type Source = { api: () => Promise<Api>; isPresent: () => Promise<boolean> }

const again = { lostMs: 1000, absentMs: 15_000 }

/** The lifecycle events of an engine: one connection for all subscribers, opened again when it breaks off. */
export function eventsOf({ api, isPresent }: Source) {
  /** One connection, from its beginning to its end. */
  const listen = async (feed: Feed, signal: AbortSignal): Promise<void> => {
    const { name, dispatcher } = await api()
    const { WebSocket } = await import('undici')
    if (signal.aborted) return
    const socket = new WebSocket('ws://engine/1.0/events?type=lifecycle', { dispatcher })
    const { promise: ended, resolve: end } = Promise.withResolvers<void>()
    const close = () => socket.close()
    signal.addEventListener('abort', close, { once: true })
    socket.addEventListener('open', () => feed.open())
    socket.addEventListener('message', ({ data }: { data: unknown }) => {
      const event = eventIn(String(data))
      if (event) feed.tell(event)
    })
    socket.addEventListener('error', () => end())
    socket.addEventListener('close', () => end())
    await ended
    signal.removeEventListener('abort', close)
    feed.lose(name)
  }

  return eventFeed(async (feed, signal) => {
    while (!signal.aborted) {
      const isThere = await isPresent().catch(() => false)
      if (isThere) await listen(feed, signal).catch(() => undefined)
      await delay(isThere ? again.lostMs : again.absentMs, undefined, { signal }).catch(() => undefined)
    }
  })
}

/** The instance that a lifecycle event is about; its source is a path such as `/1.0/instances/web?project=default`. */
function eventIn(text: string): EngineEvent | null {
  const { metadata } = JSON.parse(text) as { metadata?: { action?: string; source?: string } }
  const id = /^\/1\.0\/instances\/([^/?]+)/.exec(metadata?.source ?? '')?.[1]
  return id === undefined ? null : { kind: 'object', id, change: metadata?.action ?? '' }
}
