import { type Signal, signal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { call, requestOf } from '../api/client.ts'
import type { ItemOf, ListName } from '../api/contracts.ts'
import { asRefusal, type Refusal } from '../api/refusal.ts'
import { changedBy, concerns, type Told, told } from './changes.ts'
import { onReadAgain } from './collection.ts'
import { listen } from './stream.ts'

type Item = Record<string, unknown>
type Counts = Record<string, Record<string, number>>

/** A list that the server searches, sorts and counts. Rows that are not read yet are undefined. */
export type Paged<T> = {
  rows: readonly (T | undefined)[]
  facets: Counts
  error: Refusal | undefined
  isLoading: boolean
  /** When it was read; milliseconds, 0 before the first answer. */ at: number
}

type List = {
  name: ListName
  params: Item
  path: string
  pageSize: number
  state: Signal<Paged<Item>>
  pages: Map<number, readonly Item[]>
  wanted: ReadonlySet<number>
  users: number
  afterAnyMs: number | undefined
  timer: ReturnType<typeof setTimeout> | undefined
  isReading: boolean
  isStale: boolean
}

const lists = new Map<string, List>()
const usualSize = 100
/** Changes within this time are one question: a list that changes all the time is right within a second. */
const gatherMs = 300
/** A list that nobody shows is forgotten after this. */
const keptMs = 120_000

/** Answer of a page of any list. */
type Answer = { data: Item[]; total: number; facets?: Counts }

async function readPage({ name, params, pageSize }: List, page: number, isFirst: boolean): Promise<Answer> {
  const { facets, ...rest } = params
  const asked = { ...rest, limit: pageSize, ...(page > 0 && { offset: page * pageSize }), ...(isFirst && { facets }) }
  const { data } = await call(name, asked as never)
  return data as unknown as Answer
}

function rowsOf(list: List, total: number): (Item | undefined)[] {
  const rows = Array.from<Item | undefined>({ length: total })
  for (const [page, items] of list.pages)
    for (const [index, item] of items.entries()) rows[page * list.pageSize + index] = item
  return rows
}

/** Reads the pages in view; one read at a time, so that an older answer never replaces a newer one. */
async function read(list: List): Promise<void> {
  clearTimeout(list.timer)
  list.timer = undefined
  if (list.isReading) {
    list.isStale = true
    return
  }
  list.isReading = true
  do {
    const isAnew = list.isStale
    list.isStale = false
    const asked = [...list.wanted].filter((page) => isAnew || !list.pages.has(page))
    if (asked.length === 0) break
    try {
      const answers = await Promise.all(asked.map((page, index) => readPage(list, page, isAnew && index === 0)))
      // Pages out of view are read when they come into view.
      if (isAnew) list.pages.clear()
      for (const [index, page] of asked.entries()) list.pages.set(page, answers[index]!.data)
      const { total, facets } = answers[0]!
      const before = list.state.peek()
      const shown = { error: undefined, isLoading: false, at: Date.now(), facets: facets ?? before.facets }
      list.state.value = { ...shown, rows: rowsOf(list, total) }
    } catch (error) {
      const refusal = asRefusal(error)
      const isGone = refusal.status === 403 || refusal.status === 404
      list.state.value = { ...list.state.peek(), ...(isGone && { rows: [] }), error: refusal, isLoading: false }
    }
  } while (list.isStale)
  list.isReading = false
}

function mark(list: List, afterMs = gatherMs): void {
  list.isStale = true
  if (list.users > 0) list.timer ??= setTimeout(() => void read(list), afterMs)
}

/** Marks the lists that a change at a path can alter; null: all. */
function note(path: string | null): void {
  for (const list of lists.values()) if (path === null || concerns(list.path, path)) mark(list)
}

/** Shows at once what an event tells of an item. @returns true if the list is right then, without another question */
function show(list: List, { path, fields, unless }: Told): boolean {
  if (!path.startsWith(`${list.path}/`)) return false
  const id = path.slice(list.path.length + 1)
  for (const [page, items] of list.pages) {
    const index = items.findIndex((item) => item['id'] === id)
    const item = items[index]
    if (!item) continue
    // An answer may be newer than the events that follow it.
    if (Number(item['version']) > Number(fields['version'])) return true
    list.pages.set(page, items.with(index, { ...item, ...fields }))
    const { rows, ...rest } = list.state.peek()
    list.state.value = { ...rest, rows: rowsOf(list, rows.length) }
    return unless !== undefined && unless.every((field) => item[field] === fields[field])
  }
  return false
}

listen({
  event(event) {
    const facts = told(event)
    const changed = changedBy(event)
    for (const list of lists.values()) {
      const isRight = facts !== undefined && show(list, facts)
      if (list.afterAnyMs !== undefined) mark(list, list.afterAnyMs)
      if (!isRight && changed.some((path) => concerns(list.path, path))) mark(list)
    }
  },
  resync: () => note(null),
})
onReadAgain(note)

function listOf(key: string, name: ListName, params: Item, { pageSize, afterAnyMs }: Ways): List {
  const known = lists.get(key)
  if (known) return known
  const state = signal<Paged<Item>>({ rows: [], facets: {}, error: undefined, isLoading: true, at: 0 })
  const { path } = requestOf(name, params)
  const rest = { users: 0, afterAnyMs, timer: undefined, isReading: false, isStale: true, wanted: new Set([0]) }
  const made: List = { name, params, path, pageSize, state, pages: new Map(), ...rest }
  lists.set(key, made)
  return made
}

/** The pages of rows from `first` up to, not including, `end`. */
export function pagesIn(first: number, end: number, pageSize: number): number[] {
  const [from, to] = [Math.floor(first / pageSize), Math.floor(Math.max(first, end - 1) / pageSize)]
  return Array.from({ length: to - from + 1 }, (_, index) => from + index)
}

type Ways = Pick<List, 'pageSize' | 'afterAnyMs'>

/** The rows that are drawn. `isOff`: nothing is read. */
type View = {
  first: number
  end: number
  pageSize?: number
  isOff?: boolean
  /** Of a list without events of its own: it is read again so many milliseconds after any event. */ afterAnyMs?: number
}

/** A list that stays on the server: only the pages in view are read, and read again after a change. */
export function usePages<N extends ListName>(
  name: N,
  params: Item,
  { first, end, pageSize = usualSize, isOff = false, afterAnyMs }: View,
): Paged<ItemOf<N>> & { retry: () => void } {
  const key = `${name} ${pageSize} ${JSON.stringify(params)}`
  const list = listOf(key, name, params, { pageSize, afterAnyMs })
  const wanted = pagesIn(first, end, pageSize)
  useEffect(() => {
    if (isOff) return undefined
    list.users++
    return () => {
      list.users--
      setTimeout(() => list.users === 0 && lists.get(key) === list && lists.delete(key), keptMs)
    }
  }, [key, isOff])
  useEffect(() => {
    if (isOff) return
    list.wanted = new Set(wanted)
    if (list.isStale || wanted.some((page) => !list.pages.has(page))) void read(list)
  }, [key, isOff, wanted.join()])
  const retry = () => {
    list.isStale = true
    void read(list)
  }
  // The key holds the name of the list.
  return { ...(list.state.value as unknown as Paged<ItemOf<N>>), retry }
}

/** All items that a query finds, for a selection of everything. */
export async function readAllOf<N extends ListName>(name: N, params: Item): Promise<ItemOf<N>[]> {
  const all: Item[] = []
  let cursor: string | null | undefined
  do {
    const asked = { ...params, facets: undefined, limit: 1000, ...(cursor && { cursor }) }
    const { data } = (await call(name, asked as never)) as unknown as {
      data: Answer & { next_cursor: string | null }
    }
    all.push(...data.data)
    cursor = data.next_cursor
  } while (cursor)
  return all as unknown as ItemOf<N>[]
}
