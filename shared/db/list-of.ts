import type { MaySee } from '#shared/access/access.ts'
import type { TObject } from 'typebox'
import type { ListQuery, SearchQuery } from '#shared/contracts/common.ts'
import { flatOf } from '#shared/db/cache/flat.ts'
import { select } from '#shared/db/cache/selection.ts'
import { afterOf, byId, cursorOf, type PageOf } from '#shared/db/page.ts'
import { orderOf, searchFilter } from '#shared/db/search.ts'

/** A page of records that are in memory, in the order of their ids. */
export function listOf<T>(
  all: readonly T[],
  { limit, cursor, offset = 0, filter }: ListQuery,
  idOf: (record: T) => string,
  maySee: MaySee,
): PageOf<T> {
  const fits = testOf(filter)
  const seen = all
    .filter((record) => (maySee.all || maySee.item(idOf(record))) && fits(record as object))
    .toSorted((a, b) => (idOf(a) < idOf(b) ? -1 : 1))
  const after = cursor === undefined ? undefined : afterOf(cursor)
  const rest = after === undefined ? seen : seen.filter((record) => idOf(record) > after)
  const data = rest.slice(offset, offset + limit)
  const hasMore = rest.length > offset + limit
  return { data, next_cursor: hasMore ? cursorOf(idOf(data.at(-1)!)) : null, total: seen.length }
}

/** As {@link listOf}, of a list that is searched, sorted and counted too. @param schema of the records */
export function searchedOf<T extends { id: string }>(
  all: readonly T[],
  { filter, ...query }: SearchQuery,
  schema: TObject,
  maySee: MaySee,
): PageOf<T> {
  const fits = testOf(filter)
  const fitting = new Map(all.filter(fits).map((one) => [one.id, one]))
  // Fields that are not plain cannot be asked for.
  const flats = [...fitting.values()].map((one) => flatOf({ ...one }, new Set()))
  const order = query.sort === undefined ? byId : orderOf(query.sort, schema)
  const { ids, ...rest } = select(flats, { filter: searchFilter(query.q, schema), order }, query, maySee)
  return { ...rest, data: ids.map((id) => fitting.get(id)!) }
}

/** The test of `field:value` pairs, of which all must hold; a value may end in `*`. Of a list one element must fit. */
function testOf(filter: string | undefined): (record: object) => boolean {
  const pairs = (filter ?? '')
    .split(',')
    .filter(Boolean)
    .map((pair) => [pair.slice(0, pair.indexOf(':')), pair.slice(pair.indexOf(':') + 1)] as const)
  return (record) =>
    pairs.every(([field, value]) => {
      // A record of the API.
      const found = [(record as Record<string, unknown>)[field]].flat().map(String)
      return found.some((one) => (value.endsWith('*') ? one.startsWith(value.slice(0, -1)) : one === value))
    })
}
