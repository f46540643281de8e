import { setTimeout as delay } from 'node:timers/promises'
import { UnavailableError } from '#shared/errors.ts'
import type { EngineEvent } from '../engine.ts'
import type { Api } from './client.ts'

type Source = { api: () => Promise<Api>; isPresent: () => Promise<boolean> }
type Listener = (event: EngineEvent) => void

const again = { lostMs: 1000, absentMs: 15_000 }

/** The lifecycle events of an engine: one connection for all subscribers, opened again when it breaks off. */
export function eventsOf({ api, isPresent }: Source) {
  const listeners = new Set<Listener>()
  let isOpen = false
  let stop: AbortController | undefined
  const tell = (event: EngineEvent) => {
    for (const listener of listeners) listener(event)
  }

  /** One connection, from its beginning to its end. */
  const listen = async (signal: AbortSignal): Promise<void> => {
    const { name, dispatcher } = await api()
    const { WebSocket } = await import('undici')
    if (signal.aborted) return
    const socket = new WebSocket('ws://engine/1.0/events?type=lifecycle', { dispatcher })
    const { promise: ended, resolve: end } = Promise.withResolvers<void>()
    const close = () => socket.close()
    signal.addEventListener('abort', close, { once: true })
    let wasOpen = false
    socket.addEventListener('open', () => {
      if (signal.aborted) return
      wasOpen = isOpen = true
      tell({ kind: 'connected' })
    })
    socket.addEventListener('message', ({ data }: { data: unknown }) => {
      const event = eventIn(String(data))
      if (event && !signal.aborted) tell(event)
    })
    socket.addEventListener('error', () => end())
    socket.addEventListener('close', () => end())
    await ended
    signal.removeEventListener('abort', close)
    if (!wasOpen || signal.aborted) return
    isOpen = false
    tell({ kind: 'disconnected', error: new UnavailableError(`${name} does not answer`) })
  }

  const run = async ({ signal }: AbortController): Promise<void> => {
    while (!signal.aborted) {
      const isThere = await isPresent().catch(() => false)
      if (isThere) await listen(signal).catch(() => undefined)
      await delay(isThere ? again.lostMs : again.absentMs, undefined, { signal }).catch(() => undefined)
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

/** The instance that a lifecycle event is about; its source is a path such as `/1.0/instances/web?project=default`. */
function eventIn(text: string): EngineEvent | null {
  const { metadata } = JSON.parse(text) as { metadata?: { action?: string; source?: string } }
  const id = /^\/1\.0\/instances\/([^/?]+)/.exec(metadata?.source ?? '')?.[1]
  return id === undefined ? null : { kind: 'object', id, change: metadata?.action ?? '' }
}
