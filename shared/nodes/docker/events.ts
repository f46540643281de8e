import { setTimeout as delay } from 'node:timers/promises'
import { createInterface } from 'node:readline'
import { UnavailableError } from '#shared/errors.ts'
import type { EngineEvent } from '../engine.ts'
import type { DockerApi } from './client.ts'

type Source = { api: () => Promise<DockerApi>; isPresent: () => Promise<boolean> }
type Listener = (event: EngineEvent) => void

/** Pause before the next connection: short after one that broke off, longer while the host has no such engine. */
const again = { firstMs: 250, mostMs: 5000, absentMs: 2000 }

/** The events of containers of an engine: one connection for all subscribers, opened again when it breaks off. */
export function eventsOf({ api, isPresent }: Source) {
  const listeners = new Set<Listener>()
  let isOpen = false
  let stop: AbortController | undefined
  const tell = (event: EngineEvent) => {
    for (const listener of listeners) listener(event)
  }

  /** One connection, from its beginning to its end. @returns true when it was open */
  const listen = async (signal: AbortSignal): Promise<boolean> => {
    const { name, stream } = await api()
    const { socket } = await stream({ method: 'GET', path: '/events' })
    const close = () => socket.destroy()
    signal.addEventListener('abort', close, { once: true })
    try {
      isOpen = !signal.aborted
      // The subscription holds once the head of the answer is there: a full list that is read now misses nothing.
      if (isOpen) tell({ kind: 'connected' })
      for await (const line of createInterface({ input: socket })) {
        const event = eventIn(line)
        if (event && !signal.aborted) tell(event)
      }
    } catch {
      // The connection broke off.
    } finally {
      signal.removeEventListener('abort', close)
      close()
    }
    if (!isOpen || signal.aborted) return false
    isOpen = false
    tell({ kind: 'disconnected', error: new UnavailableError(`${name} does not answer`) })
    return true
  }

  const run = async ({ signal }: AbortController): Promise<void> => {
    let pause = again.firstMs
    while (!signal.aborted) {
      const isThere = await isPresent().catch(() => false)
      const wasOpen = isThere && (await listen(signal).catch(() => false))
      pause = wasOpen ? again.firstMs : Math.min(pause * 2, again.mostMs)
      await delay(isThere ? pause : again.absentMs, undefined, { signal }).catch(() => undefined)
    }
  }

  const close = () => {
    listeners.clear()
    isOpen = false
    stop?.abort()
    stop = undefined
  }

  return {
    subscribe: (listener: Listener): (() => void) => {
      listeners.add(listener)
      if (isOpen) queueMicrotask(() => listeners.has(listener) && listener({ kind: 'connected' }))
      if (!stop) void run((stop = new AbortController()))
      return () => {
        if (listeners.delete(listener) && listeners.size === 0) close()
      }
    },
    isConnected: () => isOpen,
    close,
  }
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
