import type { MaySee } from '#shared/access/access.ts'
import type { ListQuery } from '#shared/contracts/common.ts'
import { afterOf, cursorOf, type PageOf } from '#shared/db/page.ts'

/** A page of records that are in memory, in the order of their ids. */
export function listOf<T>(
  all: readonly T[],
  { limit, cursor, offset = 0, filter }: ListQuery,
  idOf: (record: T) => string,
  maySee: MaySee,
): PageOf<T> {
  const fits = testOf(filter)
  const seen = all
    .filter((record) => (maySee.all || maySee.item(idOf(record))) && fits(record as Record<string, unknown>))
    .toSorted((a, b) => (idOf(a) < idOf(b) ? -1 : 1))
  const after = cursor === undefined ? undefined : afterOf(cursor)
  const rest = after === undefined ? seen : seen.filter((record) => idOf(record) > after)
  const data = rest.slice(offset, offset + limit)
  const hasMore = rest.length > offset + limit
  return { data, next_cursor: hasMore ? cursorOf(idOf(data.at(-1)!)) : null, total: seen.length }
}

/** The test of `field:value` pairs, of which all must hold; a value may end in `*`. Of a list one element must fit. */
function testOf(filter: string | undefined): (record: Record<string, unknown>) => boolean {
  const pairs = (filter ?? '')
    .split(',')
    .filter(Boolean)
    .map((pair) => [pair.slice(0, pair.indexOf(':')), pair.slice(pair.indexOf(':') + 1)] as const)
  return (record) =>
    pairs.every(([field, value]) => {
      const found = [record[field]].flat().map(String)
      return found.some((one) => (value.endsWith('*') ? one.startsWith(value.slice(0, -1)) : one === value))
    })
}
