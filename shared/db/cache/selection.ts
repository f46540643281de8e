import type { MaySee } from '#shared/access/access.ts'
import type { SearchQuery } from '#shared/contracts/common.ts'
import type { Filter } from '#shared/db/commands.ts'
import type { Stored } from '#shared/db/model.ts'
import { afterCursor, cursorOf } from '#shared/db/page.ts'
import { type Facets, facetsOf, type Order } from '#shared/db/search.ts'
import { compareValues, fieldsIn, type Flat, testFor } from './flat.ts'

/** The filter and the order of a query, as the store would get them. */
export type Selection = { filter: Filter; order: Order }

export type Selected = { ids: string[]; next_cursor: string | null; total: number; facets?: Facets }

/** The fields that a query asks for: only records in memory that have all of them as plain values answer it. */
export const fieldsAsked = ({ filter, order }: Selection, { facets }: Pick<SearchQuery, 'facets'>): string[] => [
  ...fieldsIn(filter),
  ...Object.keys(order.sort),
  ...(facets?.split(',') ?? []),
]

/** Answers a query of records in memory as the store would: the ids of a page in its order, the total, the facets. */
export function select(
  records: Iterable<Flat>,
  { filter, order }: Selection,
  { limit, cursor, offset = 0, facets }: SearchQuery,
  maySee: MaySee,
): Selected {
  const fits = testFor(filter)
  const found: Flat[] = []
  for (const record of records) if ((maySee.all || maySee.item(record._id)) && fits(record)) found.push(record)
  const rest = cursor === undefined ? [...found] : found.filter(testFor(afterCursor(cursor, order)))
  const keys = Object.entries(order.sort)
  rest.sort((a, b) => {
    for (const [key, direction] of keys) {
      const way = compareValues(a[key], b[key])
      if (way !== 0) return way * direction
    }
    return 0
  })
  const page = rest.slice(offset, offset + limit)
  const hasMore = rest.length > offset + limit
  return {
    ids: page.map(({ _id }) => _id),
    // A place is made of plain fields only.
    next_cursor: hasMore ? cursorOf(order.placeOf(page.at(-1) as unknown as Stored)) : null,
    total: found.length,
    ...(facets !== undefined && { facets: facetsOf(facets.split(','), found as unknown as Stored[]) }),
  }
}
