import { Operation } from '#shared/contracts/core/operations.ts'
import type { SearchQuery } from '#shared/contracts/common.ts'
import type { Flat } from '#shared/db/cache/flat.ts'
import { select } from '#shared/db/cache/selection.ts'
import { countOf, type Filter, findAll } from '#shared/db/commands.ts'
import { placed } from '#shared/db/filter-field-map.ts'
import { storedAs, type Stored } from '#shared/db/model.ts'
import { everything, filterOf, page, type PageOf } from '#shared/db/page.ts'
import { orderOf, searchFilter } from '#shared/db/search.ts'
import { now } from '#shared/events/event.ts'
import { activeStates, type Entry, fromStore, listEntries, operationModel } from '#shared/operation/entries.ts'

/** The fields that operations are searched, sorted and counted by: a tenth of the whole record. */
const fields = [
  'kind',
  'state',
  'stage',
  'user',
  'api_key',
  'request_id',
  'resources',
  'created_at',
  'started_at',
  'ended_at',
  'eta',
  'cancellable',
  'version',
]
/** The fields that a word without a field is looked for in. */
const words = ['id', 'kind', 'resources', 'user']
const newest = '-created_at'

/** With more operations than this the store is asked. */
const mostKept = 50_000
/** An end is written within this time after its `ended_at`, also by a process whose clock is behind. */
const lateMs = 60_000
/** Reads of everything are at least so far apart. */
const wholeEveryMs = 30_000
const tries = 3

/** Operations that have ended do not change any more, so that they are read once. */
const ended = new Map<string, Flat>()
let active = new Set<string>()
/** The latest end that was read. */
let latest = ''
let wholeAt = -Infinity

const read = (filter: Filter) => findAll<Flat>(operationModel, filter, { fields })

async function readEnded(gone: string[]): Promise<void> {
  const since = latest === '' ? { $ne: null } : { $gte: new Date(Date.parse(latest) - lateMs).toISOString() }
  const found = [await read({ ended_at: since }), gone.length > 0 ? await read({ _id: { $in: gone } }) : []].flat()
  for (const one of found) {
    const at = one['ended_at']
    if (typeof at !== 'string') continue
    ended.set(one._id, one)
    // A clock that is ahead must not hide later ends.
    if (at > latest && at <= now()) latest = at
  }
}

/** All operations as they are now. */
async function readOnce(): Promise<Flat[]> {
  const running = await read({ state: { $in: activeStates } })
  const ids = new Set(running.map(({ _id }) => _id))
  // An id can come again after its operation was removed.
  for (const id of ids) ended.delete(id)
  await readEnded([...active].filter((id) => !ids.has(id)))
  active = ids
  // One that ended between the two reads is in both.
  return [...new Map([...running.map((one) => [one._id, one] as const), ...ended]).values()]
}

/** Their number says if some were removed, or came by another way, such as a restored configuration. */
async function readNow(): Promise<Flat[] | null> {
  if ((await countOf(operationModel, {})) > mostKept) return null
  for (let left = tries; ; left--) {
    const all = await readOnce()
    const count = await countOf(operationModel, {})
    const mayReadAll = all.length > count || performance.now() - wholeAt > wholeEveryMs
    // Operations that began meanwhile are newer than the question.
    if (all.length === count || (left <= 1 && !mayReadAll) || left < 0) return all
    if (left > 1) continue
    ended.clear()
    latest = ''
    wholeAt = performance.now()
  }
}

let last: Promise<unknown> = Promise.resolve()
/** One after the other: after the first reading the next ones are short. */
function readAll(): Promise<Flat[] | null> {
  const next = last.then(readNow, readNow)
  last = next.catch(() => undefined)
  return next
}

/** A page of the operations that fit, the newest first unless the query says otherwise. */
export async function searchOperations(query: SearchQuery, base: Filter): Promise<PageOf<Entry>> {
  const { q, sort = newest, facets } = query
  const filter = placed(query.filter, { resource: 'resources' })
  if ([q, filter, facets].every((part) => part === undefined) && sort === newest) return listEntries(query, base)
  const order = orderOf(sort === newest ? '-created_at,-id' : sort, Operation)
  const fitting = { $and: [base, searchFilter(q, Operation, words)] }
  const all = await readAll()
  if (!all) {
    const found = await page(operationModel, { ...query, filter }, everything, fitting, order)
    return { ...found, data: found.data.map(fromStore) }
  }
  const selection = { filter: { $and: [fitting, filterOf(filter, operationModel)] }, order }
  const { ids, ...rest } = select(all, selection, query, everything)
  const found = await findAll(operationModel, { _id: { $in: ids } })
  const byId = new Map(found.map((document) => [document._id, fromStore(storedAs<Stored>(document))]))
  return { ...rest, data: ids.flatMap((id) => byId.get(id) ?? []) }
}
