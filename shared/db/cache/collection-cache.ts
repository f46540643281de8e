import type { Flat } from '#shared/db/cache/flat.ts'
import type { Change } from '#shared/db/cache/changes.ts'
import { createShelf, type Shelf } from '#shared/db/cache/json-buffer-list.ts'

/** A record's id, the JSON of what callers see of it, and the plain fields that it is searched by. */
export type View = { id: string; json: string; flat?: Flat }
/** Reads out of the store, in the order of the ids: everything (up to a number), or some. */
export type Source = {
  all: (limit: number) => Promise<View[]>
  some: (ids: string[]) => Promise<View[]>
}

export type Bounds = { records: number; bytes: number; ageMs: number; openMs: number; some: number }

/**
 * Limits of a cached collection; a larger one is not cached. `ageMs`: age after which everything is read again.
 * `openMs`: time after which an open write has certainly ended, longer than the store permits. `some`: number of
 * changed records above which a full read is cheaper than single reads.
 */
export const usualBounds: Bounds = { records: 25_000, bytes: 32 * 2 ** 20, ageMs: 30_000, openMs: 30_000, some: 200 }

/** Of a collection with more than a thousand records: 10,000 are read again after five minutes. */
const agePerRecordMs = 30

/**
 * A cached collection. It learns of changes only by notices; a caller must have passed the barrier (cache-barrier.ts)
 * before.
 */
export type Kept = {
  /** Somebody is about to write: until the end is heard, what it writes is read anew by every question. */
  changing: (change: Change) => void
  changed: (change: Change) => void
  /** Nothing that was kept counts any more. */
  forget: () => void
  /** Everything as it is now. Null when it is too much to be kept. */
  fresh: () => Promise<Shelf | null>
}

export function createKept(source: Source, bounds: Bounds = usualBounds): Kept {
  /** Counts marks and readings, so that it is known which came first. */
  let clock = 0
  let shelf: Shelf | undefined
  let readAt = -Infinity
  let tooMuchUntil = -Infinity
  /** When the last reading that is done began. */
  let readUpTo = 0
  let running: Promise<void> | undefined
  let generation = 0
  let allStale = 0
  const stale = new Map<string, number>()
  const open = new Map<string, { id: string | null; until: number }>()

  const mark = (id: string | null) => {
    const at = ++clock
    if (id !== null && stale.size < bounds.some) return void stale.set(id, at)
    allStale = at
    stale.clear()
  }
  const endOld = () => {
    const now = performance.now()
    for (const [token, { id, until }] of open) {
      if (until > now) continue
      open.delete(token)
      mark(id)
    }
  }
  /** A full read costs the same share of the time for a large collection as for a small one. */
  const isOld = () =>
    performance.now() - readAt >= Math.max(bounds.ageMs, (shelf?.size().records ?? 0) * agePerRecordMs)
  const isClean = () => {
    if (open.size > 0) endOld()
    return open.size === 0 && stale.size === 0 && allStale === 0 && !isOld()
  }

  const readAll = async (): Promise<void> => {
    const began = generation
    const views = await source.all(bounds.records + 1)
    if (began !== generation) return
    const read = createShelf()
    for (const { id, json, flat } of views) read.put(id, json, flat)
    shelf = read
    readAt = performance.now()
  }
  const readSome = async (into: Shelf, ids: string[]): Promise<void> => {
    const began = generation
    const views = await source.some(ids)
    if (began !== generation) return
    const gone = new Set(ids)
    for (const { id, json, flat } of views) {
      gone.delete(id)
      into.put(id, json, flat)
    }
    for (const id of gone) into.remove(id)
  }

  /** The ids to read again; null for all. */
  const staleIds = (): string[] | null => {
    const opened = [...open.values()].map(({ id }) => id)
    if (isOld() || allStale > 0 || opened.includes(null)) return null
    const ids = [...new Set([...stale.keys(), ...opened.filter((id) => id !== null)])]
    return ids.length > bounds.some ? null : ids
  }
  const forgetIfTooMuch = () => {
    if (!shelf) return
    const { records, bytes } = shelf.size()
    if (records <= bounds.records && bytes <= bounds.bytes) return
    shelf = undefined
    tooMuchUntil = performance.now() + bounds.ageMs
  }
  const read = async (): Promise<void> => {
    const at = ++clock
    const ids = staleIds()
    await (shelf && ids ? readSome(shelf, ids) : readAll())
    // A record marked during its read may have been read before its change.
    for (const [id, marked] of stale) if (marked <= at) stale.delete(id)
    if (allStale <= at) allStale = 0
    readUpTo = at
    forgetIfTooMuch()
  }

  const fresh: Kept['fresh'] = async () => {
    if (shelf && isClean()) return shelf
    const asked = ++clock
    while (readUpTo < asked && performance.now() >= tooMuchUntil) {
      endOld()
      running ??= read().finally(() => (running = undefined))
      await running
      // One that had begun before will do when all that was told by now was told before it began.
      if (shelf && isClean()) return shelf
    }
    return shelf ?? null
  }

  return {
    changing: ({ token, id }) => {
      if (open.size >= bounds.some) endOld()
      open.set(token, { id, until: performance.now() + bounds.openMs })
    },
    changed: ({ token, id }) => {
      open.delete(token)
      mark(id)
    },
    forget: () => {
      generation++
      shelf = undefined
      readAt = tooMuchUntil = -Infinity
      allStale = 0
      stale.clear()
      open.clear()
    },
    fresh,
  }
}
