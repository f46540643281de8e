import type { MaySee } from '#shared/access/access.ts'
import type { ListQuery } from '#shared/contracts/common.ts'
import { countOf, type Filter } from '#shared/db/commands.ts'
import { inStore } from '#shared/db/connect.ts'
import type { Stored, StoredModel } from '#shared/db/model.ts'
import { invalid } from '#shared/errors.ts'

export type PageOf<T> = { data: T[]; next_cursor: string | null; total: number }

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

/** The `next_cursor` of a page whose last item has this id. */
export const cursorOf = (id: string) => Buffer.from(id).toString('base64url')

/** The id that a page begins after. @throws ValidationError */
export function afterOf(cursor: string): string {
  const id = Buffer.from(cursor, 'base64url').toString('utf8')
  if (id === '' || cursorOf(id) !== cursor) throw invalid('cursor', 'is not a cursor of this list')
  return id
}

/** No filter per item. */
export const everything: MaySee = { all: true, item: () => true }

/**
 * Reads one page in the order of ids. The cursor is the last id, so that records that come and go between pages move nothing.
 * @param direction -1: the newest first, for ids that hold the time
 */
export async function page(
  model: StoredModel,
  query: ListQuery,
  maySee: MaySee,
  base: Filter,
  direction: 1 | -1 = 1,
): Promise<PageOf<Stored>> {
  const { limit, cursor, offset = 0 } = query
  const filter = { $and: [base, filterOf(query.filter, model)] }
  const after = cursor === undefined ? {} : { _id: { [direction === 1 ? '$gt' : '$lt']: afterOf(cursor) } }
  const visible = maySee.all ? undefined : await visibleIds(model, filter, maySee)
  const total = visible?.length ?? (await countOf(model, filter))
  const from = visible ? { _id: { $in: visible } } : filter
  const data = await inStore(() =>
    model
      .find({ $and: [from, after] } as never)
      .sort({ _id: direction })
      .skip(offset)
      .limit(limit + 1)
      .lean<Stored[]>(),
  )
  const more = data.length > limit
  if (more) data.pop()
  return { data, next_cursor: more ? cursorOf(data.at(-1)!._id) : null, total }
}

async function visibleIds(model: StoredModel, filter: Filter, maySee: MaySee): Promise<string[]> {
  const ids = await inStore(() => model.find(filter as never, { _id: 1 }).lean<{ _id: string }[]>())
  return ids.map(({ _id }) => _id).filter((id) => maySee.item(id))
}
