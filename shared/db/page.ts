import type { MaySee } from '#shared/access/access.ts'
import type { SearchQuery } from '#shared/contracts/common.ts'
import { countOf, type Filter, findAll } from '#shared/db/commands.ts'
import type { Stored, StoredModel } from '#shared/db/model.ts'
import { invalid } from '#shared/errors.ts'
import { facetsOf, type Facets, type Order } from '#shared/db/search.ts'

export type PageOf<T> = { data: T[]; next_cursor: string | null; total: number; facets?: Facets }

/**
 * Makes a store filter out of `status:running,name:web*`. All conditions must hold, also two of one field: `tags:web,tags:prod`.
 * @throws ValidationError when a value is none of its field's type
 */
export function filterOf(text: string | undefined, { schema }: Pick<StoredModel, 'schema'>): Filter {
  const wrong: string[] = []
  const tests: Filter[] = []
  for (const pair of (text ?? '').split(',').filter(Boolean)) {
    const colon = pair.indexOf(':')
    const [field, value] = [pair.slice(0, colon), pair.slice(colon + 1)]
    const key = field === 'id' ? '_id' : field
    const type = schema.path(key)?.instance
    if (type === 'Boolean' && !/^(true|false)$/.test(value)) wrong.push(`${field} is true or false`)
    else if (type === 'Number' && !/^-?\d{1,15}(\.\d{1,15})?$/.test(value)) wrong.push(`${field} is a number`)
    else tests.push({ [key]: testOf(type, value) })
  }
  if (wrong.length > 0) throw invalid('filter', [...new Set(wrong)].join('; '))
  return tests.length === 0 ? {} : { $and: tests }
}

function testOf(type: string | undefined, value: string): unknown {
  if (type === 'Boolean') return value === 'true'
  if (type === 'Number') return Number(value)
  return value.endsWith('*') ? { $regex: `^${RegExp.escape(value.slice(0, -1))}` } : value
}

/** The `next_cursor` of a page whose last item has this place in its order, such as its id. */
export const cursorOf = (place: string) => Buffer.from(place).toString('base64url')

/** The place, such as an id, that a page begins after. @throws ValidationError */
export function afterOf(cursor: string): string {
  const place = Buffer.from(cursor, 'base64url').toString('utf8')
  if (place === '' || cursorOf(place) !== cursor) throw invalid('cursor', 'is not a cursor of this list')
  return place
}

/** No filter per item. */
export const everything: MaySee = { all: true, item: () => true }

/** The order of lists without `sort`. */
export const byId: Order = { sort: { _id: 1 }, placeOf: ({ _id }) => _id, after: (_id) => ({ _id: { $gt: _id } }) }

/** Ids do not give the order of time: those of child operations and of repeated requests are hashes. */
const newestFirst: Order = {
  sort: { created_at: -1, _id: -1 },
  placeOf: ({ created_at, _id }) => `${String(created_at)} ${_id}`,
  after: (place) => {
    const [, time, _id] = /^(\d{4}-\d\d-\d\dT[\d:.]+Z) (.+)$/.exec(place) ?? []
    if (time === undefined) return undefined
    // The first condition bounds the index; the second separates the items of the same millisecond.
    return { created_at: { $lte: time }, $or: [{ created_at: { $lt: time } }, { _id: { $lt: _id } }] }
  },
}

/** Filter of the items after a cursor. @throws ValidationError */
export function afterCursor(cursor: string, { after }: Order): Filter {
  const found = after(afterOf(cursor))
  if (!found) throw invalid('cursor', 'is not a cursor of this list')
  return found
}

const named = { id: byId, newest: newestFirst }

/**
 * Reads one page in the order of ids, with the newest first (by `created_at`, then by id), or in another order. The cursor is
 * the place of the last item, so that records that come and go between pages move nothing.
 * @param query.facets fields, separated by commas, whose values are counted over all pages
 */
export async function page(
  model: StoredModel,
  query: SearchQuery,
  maySee: MaySee,
  base: Filter,
  order: keyof typeof named | Order = 'id',
): Promise<PageOf<Stored>> {
  const { limit, cursor, offset = 0, facets } = query
  const by = typeof order === 'string' ? named[order] : order
  const filter = { $and: [base, filterOf(query.filter, model)] }
  const after = cursor === undefined ? {} : afterCursor(cursor, by)
  const visible = maySee.all ? undefined : await visibleIds(model, filter, maySee)
  const total = visible?.length ?? (await countOf(model, filter))
  const from = visible ? { _id: { $in: visible } } : filter
  const data = await findAll(model, { $and: [from, after] }, { sort: by.sort, skip: offset, limit: limit + 1 })
  const more = data.length > limit
  if (more) data.pop()
  const counted = facets?.split(',') ?? []
  return {
    data,
    next_cursor: more ? cursorOf(by.placeOf(data.at(-1)!)) : null,
    total,
    ...(facets !== undefined && { facets: facetsOf(counted, await findAll(model, from, { fields: counted })) }),
  }
}

async function visibleIds(model: StoredModel, filter: Filter, maySee: MaySee): Promise<string[]> {
  const ids = await findAll(model, filter, { fields: ['_id'] })
  return ids.map(({ _id }) => _id).filter((id) => maySee.item(id))
}
