import type { TObject, TSchema } from 'typebox'
import { type Unit, unitOf } from '#shared/contract/hints.ts'
import { amountOf, type Comparison, parseQuery, type Term } from '#shared/contract/query-language.ts'
import type { Filter } from '#shared/db/commands.ts'
import type { Stored } from '#shared/db/model.ts'
import { invalid } from '#shared/errors.ts'

/** Fields that a word without a field is looked for in, as far as a record has them. */
const searched = ['id', 'name', 'description', 'address', 'ip', 'image', 'tags', 'vm_name', 'container_name', 'used_by']

const keyOf = (field: string) => (field === 'id' ? '_id' : field)

type Shape = { type?: string; anyOf?: Shape[]; items?: Shape; properties?: Record<string, Shape>; 'x-unit'?: Unit }

/** The schema of a field, also of one inside lists of objects such as `nics.mac`; without null. */
function shapeOf(schema: TSchema, field: string): Shape | undefined {
  let shape: Shape | undefined = schema as Shape
  for (const part of field.split('.')) {
    shape = (shape?.items ?? shape)?.properties?.[part]
    const inner: Shape | undefined = shape?.anyOf?.find(({ type }) => type !== 'null')
    // The unit of a field that may be null can stand outside.
    if (inner) shape = { ...shape, anyOf: [], ...inner }
  }
  return shape?.items && !shape.items.properties ? shape.items : shape
}

const operators: Record<Exclude<Comparison, 'is'>, string> = { '>': '$gt', '>=': '$gte', '<': '$lt', '<=': '$lte' }

function valueOf(field: string, text: string, shape: Shape, wrong: string[]): unknown {
  const { type } = shape
  if (type === 'boolean') {
    if (text !== 'true' && text !== 'false') wrong.push(`${field} is true or false`)
    return text === 'true'
  }
  if (type !== 'integer' && type !== 'number') return text
  const unit = unitOf(field.split('.').at(-1)!, shape as TSchema)
  const amount = amountOf(text, unit === 'MiB' || unit === 'MiB/s')
  if (amount === undefined) wrong.push(`${field} is a number, such as 4 or 4GiB`)
  return amount
}

const isText = (value: unknown) => typeof value === 'string'
const containing = (text: string) => ({ $regex: RegExp.escape(text), $options: 'i' })
/** A text that ends in * stands for all that begin so. */
const fitting = (value: unknown) =>
  isText(value) && value.endsWith('*') ? { $regex: `^${RegExp.escape(value.slice(0, -1))}` } : value

type Words = { schema: TObject; words: readonly string[]; wrong: string[] }

function filterOfTerm({ field, comparison, values, isNot }: Term, { schema, words, wrong }: Words): Filter {
  if (field === null) {
    const fields = words.filter((name) => name === 'id' || name in schema.properties)
    const fits = fields.map((name) => ({ [keyOf(name)]: containing(values[0]!) }))
    return isNot ? { $nor: fits } : { $or: fits }
  }
  const shape = shapeOf(schema, field)
  if (!shape) {
    wrong.push(`${field} cannot be searched`)
    return {}
  }
  const found = values.map((text) => valueOf(field, text, shape, wrong))
  const key = keyOf(field)
  const tests =
    comparison === 'is'
      ? found.map((value) => ({ [key]: fitting(value) }))
      : found.map((value) => ({ [key]: { [operators[comparison]]: value } }))
  return isNot ? { $nor: tests } : { $or: tests }
}

/**
 * Makes a store filter of a query in the query language.
 * @param schema of the record
 * @param words the fields that a word without a field is looked for in
 * @throws ValidationError when a value is none of its field's type
 */
export function searchFilter(text: string | undefined, schema: TObject, words: readonly string[] = searched): Filter {
  if (text === undefined) return {}
  const wrong: string[] = []
  const groups = parseQuery(text).map((terms) => ({
    $and: terms.map((term) => filterOfTerm(term, { schema, words, wrong })),
  }))
  if (wrong.length > 0) throw invalid('q', [...new Set(wrong)].join('; '))
  return groups.length === 0 ? {} : { $or: groups }
}

/** An order of a list; its cursors hold the place of the last item of a page. */
export type Order = {
  sort: Record<string, 1 | -1>
  placeOf: (last: Stored) => string
  /** Filter of the items after a place; undefined for text that is no place of this order. */
  after: (place: string) => Filter | undefined
}

type Key = { key: string; direction: 1 | -1 }

/** Items behind a value in one direction. The store sorts null and missing values before all others. */
function behind({ key, direction }: Key, value: unknown): Filter | undefined {
  if (direction === 1) return value === null ? { [key]: { $ne: null } } : { [key]: { $gt: value } }
  return value === null ? undefined : { $or: [{ [key]: { $lt: value } }, { [key]: null }] }
}

function placeIn(text: string, length: number): unknown[] | undefined {
  try {
    const values: unknown = JSON.parse(text)
    const isPlace =
      Array.isArray(values) &&
      values.length === length &&
      values.every((value) => value === null || ['string', 'number', 'boolean'].includes(typeof value))
    return isPlace ? (values as unknown[]) : undefined
  } catch {
    return undefined
  }
}

/**
 * The order of `sort=name,-created_at`; the id comes last, so that no two items have the same place.
 * @throws ValidationError for a field that is no single value of the stored record
 */
export function orderOf(sort: string, schema: TObject): Order {
  const asked = sort.split(',').map((part) => ({ field: part.replace(/^-/, ''), isDown: part.startsWith('-') }))
  const single = ['string', 'integer', 'number', 'boolean', undefined]
  const wrong = asked.filter(({ field }) => {
    const shape = field === 'id' ? { type: 'string' } : (schema.properties[field] as Shape | undefined)
    return !shape || !single.includes(shape.type) || shape.properties !== undefined
  })
  if (wrong.length > 0)
    throw invalid('sort', `the list cannot be ordered by ${wrong.map(({ field }) => field).join(', ')}`, 'unsupported')
  const keys: Key[] = asked.map(({ field, isDown }) => ({ key: keyOf(field), direction: isDown ? -1 : 1 }))
  if (!keys.some(({ key }) => key === '_id')) keys.push({ key: '_id', direction: 1 })
  return {
    sort: Object.fromEntries(keys.map(({ key, direction }) => [key, direction])),
    placeOf: (last) => JSON.stringify(keys.map(({ key }) => last[key] ?? null)),
    after: (place) => {
      const values = placeIn(place, keys.length)
      if (!values) return undefined
      const steps = keys.flatMap((key, index) => {
        const further = behind(key, values[index])
        const same = keys.slice(0, index).map((before, at) => ({ [before.key]: values[at] }))
        return further ? [{ $and: [...same, further] }] : []
      })
      return { $or: steps }
    },
  }
}

export type Facets = Record<string, Record<string, number>>

/** Counts the values of fields; each entry of a list counts, and null is left out. */
export function facetsOf(fields: string[], records: Stored[]): Facets {
  const facets: Facets = {}
  for (const field of fields) {
    const counts = new Map<string, number>()
    for (const record of records)
      for (const value of [record[field] ?? []].flat()) counts.set(String(value), (counts.get(String(value)) ?? 0) + 1)
    facets[field] = Object.fromEntries([...counts].toSorted(([a], [b]) => (a < b ? -1 : 1)))
  }
  return facets
}
