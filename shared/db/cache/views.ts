import type { NatsConnection } from 'nats'
import { bus, onBusChange } from '#shared/bus/bus.ts'
import type { SearchQuery } from '#shared/contracts/common.ts'
import type { Filter } from '#shared/db/commands.ts'
import { onChange, onChanging } from '#shared/db/cache/changes.ts'
import { hasHeardAll } from '#shared/db/cache/barrier.ts'
import { flatOf } from '#shared/db/cache/flat.ts'
import { fieldsAsked, select, type Selection } from '#shared/db/cache/selection.ts'
import { createKept, type Kept } from '#shared/db/cache/collection-cache.ts'
import type { MaySee } from '#shared/access/access.ts'
import type { PageOf } from '#shared/db/page.ts'
import { ready } from '#shared/db/cache/preserialized.ts'
import type { BytesOfPage, Shelf } from '#shared/db/cache/json-buffer-list.ts'
import { notFound } from '#shared/errors.ts'

/** The used part of a collection. */
type Records<T> = {
  name: string
  kind: string
  require: (id: string) => Promise<T>
  list: (query: SearchQuery, maySee: MaySee, base?: Filter) => Promise<PageOf<T>>
  all: (filter?: Record<string, unknown>, limit?: number) => Promise<T[]>
  selectionOf: (query: SearchQuery) => Selection
}

/** The views of a collection's records, for callers. */
export type Views<V> = {
  /** @param base what a record must fit besides the query */
  list: (query: SearchQuery, maySee: MaySee, base?: Filter) => Promise<PageOf<V>>
  /** @throws NotFoundError */
  require: (id: string) => Promise<V>
}

/**
 * The views of a collection's records, kept as JSON in the memory of the process that owns it (ADR 0009). An answer is
 * never older than the question: before each one the process has heard of all changes that were answered before, or
 * the store is asked. `viewOf` must make the view out of the record alone.
 */
export function viewsOf<T extends { id: string }, V extends object>(
  records: Records<T>,
  viewOf: (record: T) => V,
): Views<V> {
  /** Fields that are no plain values: the store is asked when a query names one. */
  const others = new Set<string>()
  const flat = (record: T) => flatOf(record as T & Record<string, unknown>, others)
  const toView = (record: T) => ({ id: record.id, json: JSON.stringify(viewOf(record)), flat: flat(record) })
  const isPlainField = (field: string) => !field.includes('.') && !others.has(field)
  const kept = createKept({
    all: async (limit) => (await records.all({}, limit)).map(toView),
    some: async (ids) => (await records.all({ _id: { $in: ids } })).map(toView),
  })
  const shelf = async (): Promise<Shelf | null> => {
    hear(records.name, kept)
    return (await hasHeardAll()) ? kept.fresh() : null
  }
  const read = new WeakMap<Buffer, V>()
  /** Parses the JSON once: all readers of an unchanged record get the same object. */
  const readOf = (json: Buffer): V => {
    const known = read.get(json)
    if (known) return known
    // It is the JSON of a view.
    const made = ready(Object.freeze(JSON.parse(json.toString('utf8')) as V), json)
    read.set(json, made)
    return made
  }
  return {
    list: async (query, maySee, base) => {
      const { filter, q, sort, facets } = query
      const isPlain = [filter, q, sort, facets, base].every((part) => part === undefined)
      const asked = records.selectionOf(query)
      const selection = base ? { ...asked, filter: { $and: [base, asked.filter] } } : asked
      const found = await shelf()
      if (found && isPlain) return pageOf<V>(found.page(query, maySee))
      if (found && fieldsAsked(selection, query).every(isPlainField))
        return pageOf<V>(found.selected(select(found.flats(), selection, query, maySee)))
      const page = await records.list(query, maySee, base)
      return { ...page, data: page.data.map(viewOf) }
    },
    require: async (id) => {
      const found = await shelf()
      if (!found) return viewOf(await records.require(id))
      const json = found.get(id)
      if (!json) throw notFound(records.kind, id)
      return readOf(json)
    },
  }
}

/** A page whose items are parsed from its bytes on first access. */
function pageOf<V>({ bytes, next_cursor, total, facets }: BytesOfPage): PageOf<V> {
  let data: V[] | undefined
  const page = {
    get data() {
      return (data ??= (JSON.parse(bytes.toString('utf8')) as PageOf<V>).data)
    },
    next_cursor,
    total,
    ...(facets && { facets }),
  }
  return ready(page, bytes)
}

const hearing = new Map<string, Kept>()
let heardOn: NatsConnection | undefined
let stopWatching: (() => void) | undefined

/** Has what is kept of a collection hear of its changes, on the connection that the process has. */
function hear(collection: string, kept: Kept): void {
  if (hearing.get(collection) !== kept) {
    hearing.set(collection, kept)
    kept.forget()
  }
  const { nats } = bus()
  if (nats === heardOn) return
  heardOn = nats
  forgetAll()
  onChanging((name, change) => hearing.get(name)?.changing(change))
  onChange((name, change) => hearing.get(name)?.changed(change))
  stopWatching?.()
  stopWatching = onBusChange(forgetAll)
}

const forgetAll = () => {
  for (const kept of hearing.values()) kept.forget()
}
