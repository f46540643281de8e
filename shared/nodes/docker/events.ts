import { setTimeout as delay } from 'node:timers/promises'
import { createInterface } from 'node:readline'
import type { EngineEvent } from '../engine.ts'
import { eventFeed, type Feed } from '../event-feed.ts'
import type { DockerApi } from './client.ts'

type Source = { api: () => Promise<DockerApi>; isPresent: () => Promise<boolean> }

/** Pause before the next connection: short after one that broke off, longer while the host has no such engine. */
const again = { firstMs: 250, mostMs: 5000, absentMs: 2000 }

/** The events of containers of an engine: one connection for all subscribers, opened again when it breaks off. */
export function eventsOf({ api, isPresent }: Source) {
  /** One connection, from its beginning to its end. @returns true when it was open */
  const listen = async (feed: Feed, signal: AbortSignal): Promise<boolean> => {
    const { name, stream } = await api()
    const { socket } = await stream({ method: 'GET', path: '/events' })
    const close = () => socket.destroy()
    signal.addEventListener('abort', close, { once: true })
    try {
      // The subscription holds once the head of the answer is there: a full list that is read now misses nothing.
      feed.open()
      for await (const line of createInterface({ input: socket })) {
        const event = eventIn(line)
        if (event) feed.tell(event)
      }
    } catch {
      // The connection broke off.
    } finally {
      signal.removeEventListener('abort', close)
      close()
    }
    if (!feed.isOpen()) return false
    feed.lose(name)
    return true
  }

  return eventFeed(async (feed, signal) => {
    let pause = again.firstMs
    while (!signal.aborted) {
      const isThere = await isPresent().catch(() => false)
      const wasOpen = isThere && (await listen(feed, signal).catch(() => false))
      pause = wasOpen ? again.firstMs : Math.min(pause * 2, again.mostMs)
      await delay(isThere ? pause : again.absentMs, undefined, { signal }).catch(() => undefined)
    }
  })
}

/** An event of a container; null for other events, and for those of processes that exec has started. */
export function eventIn(line: string): EngineEvent | null {
  try {
    const { Type: type, Action: change = '', Actor: actor } = JSON.parse(line) as Event
    if (type !== 'container' || !actor?.ID || change.startsWith('exec_')) return null
    return { kind: 'object', id: actor.ID, change }
  } catch {
    return null
  }
}

/** The fields of an event that both engines send. */
type Event = { Type?: string; Action?: string; Actor?: { ID?: string } }
