/**
 * The calls of one connection: how many may be under way at once, on which sessions, and how long their callers wait.
 */
import type { Outcome, Running } from '../worker/pool.ts'

/** `quick`: questions. `slow`: commands that may rightly take long. */
export type Lane = 'quick' | 'slow'
export const lanes: readonly Lane[] = ['quick', 'slow']
type Limit = { ms: number; error: () => Error }

export type Queue<S> = {
  /**
   * Runs `start` when its lane has room and there is a session for it. Past the limit the caller gets its error; a call
   * that was begun keeps its place until it ends.
   */
  add<T>(lane: Lane, start: (session: S) => Running<T>, limit?: Limit): Promise<Outcome<T>>
  /** Looks again: a session has become free. */
  proceed(): void
  /** Fails every caller of the lanes that waits for its call to begin; with `all`, for its answer too. */
  fail(error: Error, which: readonly Lane[], all?: 'all'): void
}

type Entry<S> = { begin(session: S): void; reject(error: Error): void }

/**
 * @param room how many calls of each lane may be under way at once
 * @param take a free session for a call of this lane; when there is none it may make one, and calls `proceed` then
 */
export const queue = <S>(room: Record<Lane, number>, take: (lane: Lane) => S | undefined): Queue<S> => {
  const waiting: Record<Lane, Entry<S>[]> = { quick: [], slow: [] }
  const active: Record<Lane, Set<Entry<S>>> = { quick: new Set(), slow: new Set() }

  const proceed = () => {
    for (const lane of lanes) {
      while (waiting[lane].length > 0 && active[lane].size < room[lane]) {
        const session = take(lane)
        if (session === undefined) break
        const entry = waiting[lane].shift()
        if (!entry) break
        active[lane].add(entry)
        entry.begin(session)
      }
    }
  }

  return {
    proceed,
    add<T>(lane: Lane, start: (session: S) => Running<T>, limit?: Limit) {
      const { promise, resolve, reject } = Promise.withResolvers<Outcome<T>>()
      let running: Running<T> | undefined
      const finish = async (started: Running<T>) => {
        const outcome = await started.outcome
        clearTimeout(timer)
        resolve(outcome)
        active[lane].delete(entry)
        proceed()
      }
      const entry: Entry<S> = {
        begin(session) {
          running = start(session)
          void finish(running)
        },
        reject(error) {
          clearTimeout(timer)
          running?.abandon()
          reject(error)
        },
      }
      const expire = (error: Error) => {
        const place = waiting[lane].indexOf(entry)
        if (place >= 0) waiting[lane].splice(place, 1)
        entry.reject(error)
      }
      const timer = limit && setTimeout(() => expire(limit.error()), limit.ms)
      waiting[lane].push(entry)
      proceed()
      return promise
    },
    fail(error, which, all) {
      for (const lane of which) {
        for (const entry of [...waiting[lane].splice(0), ...(all ? active[lane] : [])]) entry.reject(error)
      }
    },
  }
}
