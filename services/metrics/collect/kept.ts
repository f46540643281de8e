import { allParts } from '#shared/bus/all-pages.ts'

/** A page of records, or those of some ids. */
export type Asked = { after?: string; ids?: string[] }
type Page<T> = { data: T[]; next: string | null }
type Placed = { id: string; node: string }

/** Notices can be lost while the bus is away, so that everything is read again after this time. Milliseconds. */
const freshMs = 60_000
/** Above so many changed records everything is read again. */
const mostSingle = 1000

/** The records of another service, as of the notices of their changes. */
export type Kept<T> = {
  all: ReadonlyMap<string, T>
  /** Those of a node, by the key of {@link keep}. */
  of: (node: string) => ReadonlyMap<string, T>
  /** A record has changed; null: any number of them. */
  note: (id: string | null) => void
  /** Reads what has changed, or everything when that is old. */
  refresh: () => Promise<void>
  isKnown: () => boolean
}

/**
 * Keeps the records of another service: a change of one record reads that record, not the collection.
 * @param keyOf the key of a record among those of its node
 */
export function keep<T extends Placed>(
  readPage: (asked: Asked) => Promise<Page<T>>,
  keyOf: (record: T) => string,
): Kept<T> {
  let all = new Map<string, T>()
  let byNode = new Map<string, Map<string, T>>()
  let readAt = -Infinity
  let isAllStale = true
  const stale = new Set<string>()
  let running: Promise<void> | undefined

  const remove = (id: string) => {
    const known = all.get(id)
    if (!known) return
    all.delete(id)
    const ofNode = byNode.get(known.node)
    if (ofNode?.get(keyOf(known)) === known) ofNode.delete(keyOf(known))
    if (ofNode?.size === 0) byNode.delete(known.node)
  }
  const put = (record: T) => {
    remove(record.id)
    all.set(record.id, record)
    const ofNode = byNode.get(record.node) ?? new Map<string, T>()
    byNode.set(record.node, ofNode.set(keyOf(record), record))
  }

  const readAll = async () => {
    isAllStale = false
    stale.clear()
    try {
      const found = await allParts(readPage)
      all = new Map()
      byNode = new Map()
      for (const record of found) put(record)
      readAt = performance.now()
    } catch (error) {
      isAllStale = true
      throw error
    }
  }

  const readSome = async () => {
    const ids = [...stale]
    stale.clear()
    try {
      const { data } = await readPage({ ids })
      const gone = new Set(ids)
      for (const record of data) {
        gone.delete(record.id)
        put(record)
      }
      for (const id of gone) remove(id)
    } catch (error) {
      for (const id of ids) stale.add(id)
      throw error
    }
  }

  const read = async () => {
    if (isAllStale || stale.size > mostSingle || performance.now() - readAt > freshMs) await readAll()
    else if (stale.size > 0) await readSome()
  }

  return {
    get all() {
      return all
    },
    of: (node) => byNode.get(node) ?? new Map<string, T>(),
    note: (id) => {
      if (id === null) isAllStale = true
      else stale.add(id)
    },
    // A notice that comes while it reads counts for the next time.
    refresh: async () => {
      await running?.catch(() => undefined)
      running ??= read().finally(() => (running = undefined))
      await running
    },
    isKnown: () => readAt > -Infinity,
  }
}
