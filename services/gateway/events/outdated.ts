import { LRUCache } from 'lru-cache'
import type { Event } from '#shared/contracts/core/events.ts'

/** More operations than are active, or have just ended, at one time. */
const maxRecords = 20_000

/** An event shows a record if it has the id and the version of one, as those of operations do. */
type Versioned = { id: string; version: number }
const isVersioned = (data: object): data is Versioned =>
  'id' in data && typeof data.id === 'string' && 'version' in data && typeof data.version === 'number'

/**
 * Finds events with a lower version of a record than an event before them had: a process that was stopped sends them late.
 * Given the events in the order of the stream.
 */
export function createVersionCheck(): (event: Pick<Event, 'type' | 'data'>) => boolean {
  const newest = new LRUCache<string, number>({ max: maxRecords })
  return ({ type, data }) => {
    if (!isVersioned(data)) return false
    const key = `${type}/${data.id}`
    if (data.version < (newest.get(key) ?? 0)) return true
    newest.set(key, data.version)
    return false
  }
}
