import { UnavailableError } from '#shared/errors.ts'
import type { EngineEvent } from './engine.ts'

type Listener = (event: EngineEvent) => void

/** The side of a feed that a follower writes to. */
export type Feed = {
  /** Tells that events arrive from now on. */
  open: () => void
  /** Tells that no events arrive any more, if they did. @param name the engine, for the message */
  lose: (name: string) => void
  tell: Listener
  isOpen: () => boolean
}

/**
 * The events of an engine for any number of subscribers.
 * @param follow writes the events into the feed. It runs from the first subscriber to the last, until its signal is aborted.
 */
export function eventFeed(follow: (feed: Feed, signal: AbortSignal) => Promise<void>) {
  const listeners = new Set<Listener>()
  let isOpen = false
  let following: AbortController | undefined
  const tell = (event: EngineEvent) => {
    for (const listener of listeners) listener(event)
  }
  const start = () => {
    const { signal } = (following = new AbortController())
    const feed: Feed = {
      open: () => {
        if (signal.aborted) return
        isOpen = true
        tell({ kind: 'connected' })
      },
      lose: (name) => {
        if (!isOpen || signal.aborted) return
        isOpen = false
        tell({ kind: 'disconnected', error: new UnavailableError(`${name} does not answer`) })
      },
      tell: (event) => void (signal.aborted || tell(event)),
      isOpen: () => isOpen && !signal.aborted,
    }
    void follow(feed, signal)
  }
  const close = () => {
    listeners.clear()
    isOpen = false
    following?.abort()
    following = undefined
  }
  return {
    subscribe: (listener: Listener): (() => void) => {
      listeners.add(listener)
      if (isOpen) queueMicrotask(() => listeners.has(listener) && listener({ kind: 'connected' }))
      if (!following) start()
      return () => {
        if (listeners.delete(listener) && listeners.size === 0) close()
      }
    },
    isConnected: () => isOpen,
    close,
  }
}
