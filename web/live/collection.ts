import { type Signal, signal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { call, requestOf } from '../api/client.ts'
import type { ActionName, ItemOf, ListName } from '../api/contracts.ts'
import { asRefusal, type Refusal } from '../api/refusal.ts'
import { changedBy, concerns, told } from './changes.ts'
import { listen } from './stream.ts'

export type Items<T> = { items: readonly T[]; error: Refusal | undefined; isLoading: boolean; at: number }

type Collection = {
  name: ListName
  params: Record<string, unknown>
  path: string
  /** Reads one item; undefined: the list is read as a whole. */ item: ActionName | undefined
  byId: Map<string, Record<string, unknown>>
  state: Signal<Items<Record<string, unknown>>>
  users: number
  changed: Set<string>
  timer: ReturnType<typeof setTimeout> | undefined
  isReading: boolean
}

const collections = new Map<string, Collection>()
const gatherMs = 120
/** Above so many changed items the list is read anew. */
const mostSingle = 20
const pageSize = 1000

const idOf = (item: Record<string, unknown>) => String(item['id'] ?? item['username'] ?? item['name'])

function show(collection: Collection, more: Partial<Items<never>> = {}): void {
  const { at, error, isLoading } = collection.state.peek()
  collection.state.value = { items: [...collection.byId.values()], at, error, isLoading, ...more }
}

async function readAll(collection: Collection): Promise<void> {
  collection.isReading = true
  collection.changed.clear()
  try {
    const found = new Map<string, Record<string, unknown>>()
    let cursor: string | null | undefined
    do {
      const params = { ...collection.params, limit: pageSize, ...(cursor && { cursor }) }
      // The page of any list.
      const { data } = (await call(collection.name, params as never)) as unknown as {
        data: { data: Record<string, unknown>[]; next_cursor: string | null }
      }
      for (const item of data.data) found.set(idOf(item), item)
      cursor = data.next_cursor
      // The first rows are shown while the rest is read.
      if (collection.byId.size === 0 && cursor)
        collection.state.value = { items: [...found.values()], error: undefined, isLoading: true, at: Date.now() }
    } while (cursor)
    collection.byId = found
    show(collection, { error: undefined, isLoading: false, at: Date.now() })
  } catch (error) {
    show(collection, { error: asRefusal(error), isLoading: false })
  }
  collection.isReading = false
  if (collection.changed.size > 0) plan(collection)
}

async function readChanged(collection: Collection): Promise<void> {
  collection.timer = undefined
  const ids = [...collection.changed]
  if (ids.length > mostSingle || !collection.item || ids.some((id) => id === '')) return readAll(collection)
  collection.changed.clear()
  await Promise.all(
    ids.map(async (id) => {
      try {
        const { data } = await call(collection.item!, { id } as never)
        collection.byId.set(id, data as never)
      } catch (error) {
        if (asRefusal(error).status === 404 || asRefusal(error).status === 403) collection.byId.delete(id)
        else collection.changed.add(id)
      }
    }),
  )
  show(collection, { at: Date.now() })
}

function plan(collection: Collection): void {
  if (collection.isReading || collection.users === 0) return
  collection.timer ??= setTimeout(() => void readChanged(collection), gatherMs)
}

function note(collection: Collection, path: string): void {
  if (!concerns(collection.path, path)) return
  collection.changed.add(path.slice(collection.path.length + 1).split('/')[0] ?? '')
  plan(collection)
}

listen({
  event(event) {
    const facts = told(event)
    for (const collection of collections.values()) {
      const id = facts?.path.startsWith(`${collection.path}/`) ? facts.path.slice(collection.path.length + 1) : ''
      const item = collection.byId.get(id)
      if (item && facts) {
        collection.byId.set(id, { ...item, ...facts.fields })
        show(collection)
      }
      for (const path of changedBy(event)) note(collection, path)
    }
  },
  resync: readCollectionsAgain,
})

/** All items of a list, page by page, with changed ones read again one by one. `item` is the action that reads one. */
export function useCollection<N extends ListName>(
  name: N,
  params: Record<string, unknown> = {},
  item?: ActionName,
): Items<ItemOf<N>> & { retry: () => void } {
  const key = `${name} ${JSON.stringify(params)}`
  let collection = collections.get(key)
  if (!collection) {
    const state = signal<Items<Record<string, unknown>>>({ items: [], error: undefined, isLoading: true, at: 0 })
    const { path } = requestOf(name, params)
    collection = {
      name,
      params,
      path,
      item,
      byId: new Map(),
      state,
      users: 0,
      changed: new Set([]),
      timer: undefined,
      isReading: false,
    }
    collections.set(key, collection)
  }
  const found = collection
  useEffect(() => {
    found.users++
    const isUnread = found.state.peek().at === 0 && !found.isReading
    if (isUnread) void readAll(found)
    else if (found.changed.size > 0) plan(found)
    return () => void found.users--
  }, [key])
  // The key holds the name of the list.
  const shown = found.state.value as unknown as Items<ItemOf<N>>
  return { ...shown, retry: () => void readAll(found) }
}

const others = new Set<(path: string | null) => void>()
/** Tells other kinds of lists that those at a path, or all (null), are to be read again. */
export const onReadAgain = (listener: (path: string | null) => void) => others.add(listener)

/** Reads lists again that a change at this path can alter: for the caller's own changes, before their event comes. */
export function invalidateCollections(path: string): void {
  for (const other of others) other(path)
  for (const collection of collections.values()) {
    if (!concerns(collection.path, path)) continue
    // The last part may be a verb, so the list is read as a whole.
    collection.changed.add('')
    plan(collection)
  }
}

/** Reads all lists again: events are missing, or the rights of the caller have changed. */
export function readCollectionsAgain(): void {
  for (const other of others) other(null)
  for (const collection of collections.values()) {
    collection.changed.add('')
    plan(collection)
  }
}
