import { setTimeout as delay } from 'node:timers/promises'
import { WebSocket } from 'undici'
import { UnavailableError } from '#shared/errors.ts'
import type { Reached } from '#shared/nodes/nodes.ts'
import { engineOf } from './client.ts'
import { type EngineKind, socketOf } from './engine.ts'

/** What an engine tells unasked. */
export type EngineNews =
  /** Something happened to an instance; its name. */
  | { kind: 'instance'; name: string }
  /** Events flow from now on; what happened before is unknown. */
  | { kind: 'connected' }
  | { kind: 'disconnected'; error: Error }

const again = { lostMs: 1000, absentMs: 15_000 }

/** Follows an engine's lifecycle events for as long as it is wanted; connects again when they break off. */
export function followEngine(reached: Reached, kind: EngineKind, heard: (news: EngineNews) => void): () => void {
  const stop = new AbortController()
  void (async () => {
    while (!stop.signal.aborted) {
      const isThere = await socketOf(reached, kind).catch(() => null)
      if (isThere !== null) await listen(reached, kind, heard, stop.signal).catch(() => undefined)
      await delay(isThere === null ? again.absentMs : again.lostMs, undefined, { signal: stop.signal }).catch(() => {})
    }
  })()
  return () => stop.abort()
}

/** One connection, from its beginning to its end. */
async function listen(
  reached: Reached,
  kind: EngineKind,
  heard: (news: EngineNews) => void,
  signal: AbortSignal,
): Promise<void> {
  const { name, dispatcher } = await engineOf(reached, kind)
  const socket = new WebSocket('ws://engine/1.0/events?type=lifecycle', { dispatcher })
  const { promise: ended, resolve: end } = Promise.withResolvers<void>()
  const close = () => socket.close()
  signal.addEventListener('abort', close, { once: true })
  let isOpen = false
  socket.addEventListener('open', () => {
    isOpen = true
    heard({ kind: 'connected' })
  })
  socket.addEventListener('message', ({ data }: { data: unknown }) => {
    const instance = instanceOf(String(data))
    if (instance !== null) heard({ kind: 'instance', name: instance })
  })
  socket.addEventListener('error', () => end())
  socket.addEventListener('close', () => end())
  await ended
  signal.removeEventListener('abort', close)
  if (isOpen && !signal.aborted) heard({ kind: 'disconnected', error: new UnavailableError(`${name} does not answer`) })
}

/** The instance that a lifecycle event is about; its source is a path such as `/1.0/instances/web?project=default`. */
function instanceOf(text: string): string | null {
  const { metadata } = JSON.parse(text) as { metadata?: { source?: string } }
  return /^\/1\.0\/instances\/([^/?]+)/.exec(metadata?.source ?? '')?.[1] ?? null
}
