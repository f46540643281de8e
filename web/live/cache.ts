import { type Signal, signal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { call, requestOf } from '../api/client.ts'
import type { ActionName, ParamsOf, ResultOf } from '../api/contracts.ts'
import { asRefusal, type Refusal } from '../api/refusal.ts'
import { changedBy, concerns } from './changes.ts'
import { listen } from './stream.ts'

export type Shown<T> = {
  data: T | undefined
  etag: string | undefined
  error: Refusal | undefined
  isLoading: boolean
  /** When the data was read; milliseconds. */ at: number
}

type Entry = {
  path: string
  state: Signal<Shown<unknown>>
  load: (etag: string | undefined) => Promise<{ data: unknown; etag: string | null; status: number }>
  users: number
  isStale: boolean
  /** A change came while it was being read. */ isDirty: boolean
  timer: ReturnType<typeof setTimeout> | undefined
}

const entries = new Map<string, Entry>()
const gatherMs = 80
/** Answers that nobody shows are forgotten after this. */
const keptMs = 120_000
const empty: Shown<unknown> = { data: undefined, etag: undefined, error: undefined, isLoading: true, at: 0 }

/** Reads an entry again; one read at a time, so an older answer never replaces a newer one. */
async function refresh(entry: Entry): Promise<void> {
  clearTimeout(entry.timer)
  entry.timer = undefined
  if (entry.state.peek().isLoading && entry.state.peek().at > 0) {
    entry.isDirty = true
    return
  }
  do {
    entry.isDirty = false
    entry.isStale = false
    const before = entry.state.peek()
    entry.state.value = { ...before, isLoading: true, at: before.at || 1 }
    try {
      const { data, etag, status } = await entry.load(before.etag)
      const now = { error: undefined, isLoading: false, at: Date.now() }
      entry.state.value = status === 304 ? { ...before, ...now } : { data, etag: etag ?? undefined, ...now }
    } catch (error) {
      const refusal = asRefusal(error)
      const isGone = refusal.status === 404 || refusal.status === 403
      entry.state.value = {
        ...before,
        ...(isGone && { data: undefined, etag: undefined }),
        error: refusal,
        isLoading: false,
      }
    }
  } while (entry.isDirty)
}

/** Reads again what is shown; the rest when it is shown next. */
function mark(entry: Entry): void {
  entry.isStale = true
  if (entry.users > 0) entry.timer ??= setTimeout(() => void refresh(entry), gatherMs)
}

/** Marks all answers that a change of this resource can alter. */
export function invalidate(changed: string): void {
  for (const entry of entries.values()) if (concerns(entry.path, changed)) mark(entry)
}

export function invalidateAll(): void {
  for (const entry of entries.values()) mark(entry)
}

listen({ event: (event) => changedBy(event).forEach(invalidate), resync: invalidateAll })

function entryOf(key: string, path: string, load: Entry['load']): Entry {
  const known = entries.get(key)
  if (known) return known
  const made: Entry = { path, state: signal(empty), load, users: 0, isStale: true, isDirty: false, timer: undefined }
  entries.set(key, made)
  return made
}

function useEntry(key: string, entry: Entry | undefined): Shown<unknown> & { retry: () => void } {
  useEffect(() => {
    if (!entry) return undefined
    entry.users++
    if (entry.isStale) void refresh(entry)
    return () => {
      entry.users--
      setTimeout(() => entry.users === 0 && entries.get(key) === entry && entries.delete(key), keptMs)
    }
  }, [key])
  const shown = entry ? entry.state.value : empty
  return { ...shown, retry: () => void (entry && refresh(entry)) }
}

/** The answer of a query, kept fresh by events; `null` parameters ask nothing. */
export function useQuery<N extends ActionName>(
  name: N,
  params: ParamsOf<N> | null,
): Shown<ResultOf<N>> & { retry: () => void } {
  const given = (params ?? {}) as Record<string, unknown>
  const key = `${name} ${JSON.stringify(given)}`
  const entry =
    params === null
      ? undefined
      : entryOf(key, requestOf(name, given).path, (etag) => call(name, params, { ifNoneMatch: etag }))
  // The key holds the name, so the entry has this action's answers.
  return useEntry(key, entry) as Shown<ResultOf<N>> & { retry: () => void }
}

/** The answer of any reader under a key of its own, read again on changes below `path`. */
export function useReading<T>(key: string, path: string, read: () => Promise<T>): Shown<T> & { retry: () => void } {
  const entry = entryOf(key, path, async () => ({ data: await read(), etag: null, status: 200 }))
  return useEntry(key, entry) as Shown<T> & { retry: () => void }
}
