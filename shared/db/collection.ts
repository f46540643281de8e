import type { Static, TObject } from 'typebox'
import { requestContext, isNoted, noteChanged, requireCurrent } from '#shared/runtime/request-context.ts'
import type { Event } from '#shared/contracts/core/events.ts'
import { announced } from '#shared/db/cache/changes.ts'
import {
  type Filter,
  findAll,
  findAndUpdate,
  findOne,
  insert as insertDocument,
  isDuplicate,
  removeAll,
  removeOne,
} from '#shared/db/commands.ts'
import { requireVersion } from '#shared/db/if-match.ts'
import { type Index, type Migration, modelOf, type Stored, storedAs } from '#shared/db/model.ts'
import type { MaySee } from '#shared/access/access.ts'
import { byId, filterOf, page, type PageOf } from '#shared/db/page.ts'
import { orderOf, searchFilter } from '#shared/db/search.ts'
import { alreadyExists, ConflictError, notFound, UnavailableError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { carries, countChange, markedWith, nextMark } from '#shared/db/change-marks.ts'
import { flushAll, flushSoon, sweepOutboxOf, sweepSoon } from '#shared/db/outbox.ts'
import { markRemoval } from '#shared/db/removal-marks.ts'
import { withRemovals } from '#shared/db/removals.ts'
import { type Change, changeEvent, type Recipients, type Resource, tellChangesOf } from '#shared/db/resource-changes.ts'
import type { SearchQuery } from '#shared/contracts/common.ts'

type Patch<T> = { [K in keyof T]?: T[K] | undefined }
/** A change and the events that tell of it, written as one. */
type Changed<T> = { set: Patch<T>; events?: Event[] }
type Versioned = { id: string; version: number }

/** The id of the record that a filter names, or null. */
const idIn = ({ _id }: Filter) => (typeof _id === 'string' ? _id : null)

/** `kind` names a record in messages: "Virtual machine 'x' not found". */
type Options = {
  kind: string
  indexes?: Index[]
  migrate?: Migration
  /** True if its changes have events. They are refused otherwise, because no sweep would find them. */
  hasEvents?: boolean
  /** Its place in the API, if it has one: each change of a record is then told by a `ResourceChanged`, beside other events. */
  resource?: Resource
}

/**
 * A collection of records of one schema, opened by its owner only. Every change of a record raises its `version`, sets
 * its `updated_at` when it has one, honours the call's `If-Match`, and takes its events along in the same write.
 */
export function collection<S extends TObject>(
  name: string,
  schema: S,
  { kind, indexes = [], migrate, resource, hasEvents = resource !== undefined }: Options,
) {
  type T = Static<S> & Versioned
  const model = modelOf(name, schema, indexes, { migrate, hasEvents })
  if (hasEvents) sweepOutboxOf(model)
  if (resource) tellChangesOf(model, resource, schema)
  const hasUpdatedAt = 'updated_at' in schema.properties

  const fromStore = (document: unknown): T => {
    const { _id, outbox: _, made_by: __, changed_by: ___, ...fields } = document as Stored
    return storedAs<T>({ id: _id, ...fields })
  }

  /** The events of a write: its own ones, and the one that tells of the change. */
  const eventsOf = (change: Change, own: Event[]): Event[] => {
    if (own.length > 0 && !hasEvents) throw new Error(`The collection ${name} has no events: set hasEvents`)
    return resource ? [...own, changeEvent(change)] : own
  }
  /** Writes a record with its events. When the outcome of the write is unknown, the sweep looks for the events. */
  const writeWith = async <R>(events: Event[], write: () => Promise<R>): Promise<R> => {
    try {
      return await uniquely(write)
    } catch (error) {
      if (events.length > 0 && error instanceof UnavailableError) sweepSoon(model)
      throw error
    }
  }

  const find = async (filter: Filter): Promise<T | null> => {
    const found = await findOne(model, filter)
    return found && fromStore(found)
  }
  const get = (id: string) => find({ _id: id })

  const require = async (id: string): Promise<T> => {
    const found = await get(id)
    if (!found) throw notFound(kind, id)
    return found
  }

  /** The record that this call is going to change. @throws PreconditionFailedError when `If-Match` names another version */
  const requireForChange = async (id: string): Promise<T> => (await readForChange(id)).record

  /** As {@link requireForChange}. `isDone`: an earlier try of this call has made its next change of the record. */
  const readForChange = async (id: string): Promise<{ record: T; isDone: boolean }> => {
    const stored = await findOne(model, { _id: id })
    if (!stored) throw notFound(kind, id)
    const record = fromStore(stored)
    const isDone = carries(stored, nextMark(`${name}/${id}`))
    if (!isDone) requireVersion(`${kind} '${id}'`, record.version)
    noteChanged(`${name}/${id}`, { before: record, after: record })
    return { record, isDone }
  }

  /** Notes the record as it is before the change, for the audit, unless this call has noted it. */
  const noteBefore = async (filter: Filter): Promise<void> => {
    if (!requestContext()?.changed || isNoted(`${name}/${String(filter['_id'])}`)) return
    const before = await find(filter)
    if (before) noteChanged(`${name}/${before.id}`, { before, after: before })
  }

  /**
   * Changes the record that fits the filter, in one atomic write. A call that is repeated finds the change of its first try.
   * @returns the changed record, or null when none fits
   */
  const updateWhere = async (filter: Filter, change: Changed<T>): Promise<T | null> => {
    const id = idIn(filter)
    if (id === null) return writeChange(filter, change)
    const mark = nextMark(`${name}/${id}`)
    const done = await writeChange(filter, change, mark)
    const found = done ?? (mark === undefined ? null : await find({ _id: id, changed_by: mark }))
    if (found) countChange(`${name}/${id}`)
    return found
  }

  const writeChange = async (filter: Filter, { set, ...changed }: Changed<T>, mark?: string): Promise<T | null> => {
    const events = eventsOf('updated', changed.events ?? [])
    const values = { ...set, ...(hasUpdatedAt && { updated_at: now() }) } as Record<string, unknown>
    const $set = Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined))
    const $unset = Object.fromEntries(
      Object.entries(values)
        .filter(([, value]) => value === undefined)
        .map(([key]) => [key, '']),
    )
    const update = {
      $inc: { version: 1 },
      ...(Object.keys($set).length > 0 && { $set }),
      ...(Object.keys($unset).length > 0 && { $unset }),
      ...((events.length > 0 || mark !== undefined) && {
        $push: {
          ...(events.length > 0 && { outbox: { $each: events } }),
          ...(mark !== undefined && { changed_by: markedWith(mark) }),
        },
      }),
    }
    await noteBefore(filter)
    await requireCurrent()
    const written = await announced(name, idIn(filter), () =>
      writeWith(events, () => findAndUpdate(model, filter, update)),
    )
    if (!written) return null
    flushSoon(model, written)
    const after = fromStore(written)
    noteChanged(`${name}/${after.id}`, { after })
    return after
  }

  /** Reads, decides, writes; begins again when another change came in between, unless the caller named a version. */
  const change = async (id: string, decide: (record: T) => Changed<T> | Promise<Changed<T>>): Promise<T> => {
    for (let attempt = 0; attempt < 20; attempt++) {
      const { record, isDone } = await readForChange(id)
      if (isDone) {
        countChange(`${name}/${id}`)
        return record
      }
      const changed = await updateWhere({ _id: id, version: record.version }, await decide(record))
      if (changed) return changed
    }
    throw new ConflictError(`${kind} '${id}' is changed by too many other requests; try again`, { retryable: true })
  }

  /**
   * Inserts a record. A call that is repeated, under its idempotency key or because a replica died, gets the record of its first try.
   * @throws ConflictError when the id, or a field that is unique, is taken
   */
  const insert = async (record: Omit<T, 'version'>, own: Event[] = []): Promise<T> => {
    const events = eventsOf('created', own)
    const { id, ...fields } = record as Omit<T, 'version'> & { id: string }
    const seed = requestContext()?.idempotency?.seed
    const made_by = seed === undefined ? {} : { made_by: seed }
    const document = { _id: id, ...fields, version: 1, ...made_by, ...(events.length > 0 && { outbox: events }) }
    await requireCurrent()
    try {
      await announced(name, id, () => writeWith(events, () => insertDocument(model, document)))
    } catch (error) {
      const made = error instanceof ConflictError && seed !== undefined ? await find({ _id: id, made_by: seed }) : null
      if (!made) throw error
      return made
    }
    flushSoon(model, storedAs<Stored>(document))
    const after = fromStore(document)
    noteChanged(`${name}/${id}`, { before: null, after })
    return after
  }

  /** Runs a removal, and tells of it when the records have a place in the API. */
  const removing = (documents: Stored[], to: Recipients, remove: () => Promise<number>): Promise<number> =>
    resource ? withRemovals(model, documents, to, remove) : remove()

  /** Deletes a record as it was read. @throws ConflictError when it has changed since */
  const remove = async (record: Versioned): Promise<void> => {
    const { id, version } = record
    noteChanged(`${name}/${id}`, { before: record, after: null })
    await requireCurrent()
    await markRemoval()
    const document = storedAs<Stored>({ ...record, _id: id })
    const removed = await removing([document], undefined, () =>
      announced(name, id, () => removeOne(model, { _id: id, version })),
    )
    if (removed === 0 && (await get(id)))
      throw new ConflictError(`${kind} '${id}' has changed in the meantime`, { retryable: true })
  }
  /**
   * Deletes all records that fit, after publishing their events. @returns how many there were
   * @param to users who are told of it although they have lost the right to see the records
   */
  const removeWhere = async (filter: Filter, to?: Recipients) => {
    const documents = resource ? await findAll(model, filter) : []
    // Most sweeps find nothing to delete: then no cache needs to hear of it.
    if (!(documents[0] ?? (await findOne(model, filter)))) return 0
    if (hasEvents) await flushAll(model, filter)
    if (requestContext()?.changed)
      for (const record of await all(filter)) noteChanged(`${name}/${record.id}`, { before: record, after: null })
    await requireCurrent()
    await markRemoval()
    return removing(documents, to, () => announced(name, idIn(filter), () => removeAll(model, filter)))
  }

  /** All records that fit, in the order of the ids; a limit of 0 is none. */
  const all = async (filter: Filter = {}, limit = 0): Promise<T[]> =>
    (await findAll(model, filter, { sort: { _id: 1 }, limit })).map(fromStore)

  /** A page of the records that fit the filter and the caller may see. */
  const list = async (query: SearchQuery, maySee: MaySee, filter: Filter = {}): Promise<PageOf<T>> => {
    const asked = { $and: [filter, searchFilter(query.q, schema)] }
    const order = query.sort === undefined ? 'id' : orderOf(query.sort, schema)
    const found = await page(model, query, maySee, asked, order)
    return { ...found, data: found.data.map(fromStore) }
  }

  /** The filter and the order of a query, for records that are kept in memory. */
  const selectionOf = ({ q, filter, sort }: Pick<SearchQuery, 'q' | 'filter' | 'sort'>) => ({
    filter: { $and: [searchFilter(q, schema), filterOf(filter, model)] },
    order: sort === undefined ? byId : orderOf(sort, schema),
  })

  return {
    name,
    kind,
    model,
    find,
    get,
    require,
    requireForChange,
    updateWhere,
    change,
    insert,
    remove,
    removeWhere,
    all,
    list,
    selectionOf,
  }
}

/** Maps a duplicate key to a ConflictError: "x already exists". */
async function uniquely<R>(write: () => Promise<R>): Promise<R> {
  try {
    return await write()
  } catch (error) {
    if (!isDuplicate(error)) throw error
    const { keyValue = {} } = error as { keyValue?: Record<string, unknown> }
    const [[key, value] = ['id', '']] = Object.entries(keyValue)
    throw alreadyExists(String(value), { field: key === '_id' ? 'id' : key })
  }
}
