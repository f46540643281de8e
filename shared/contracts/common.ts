import { type TObject, type TProperties, type TSchema, Type } from 'typebox'
import { columnsHint } from '#shared/contract/hints.ts'
import { queryPattern } from '#shared/contract/query-language.ts'

/** Path segments of routes that could otherwise be taken for an id. */
export const reservedIds = ['summary', 'tree', 'ticket', 'new']

export const Id = Type.String({
  examples: ['01980e2c-5a7b-7cc3-98c4-dc0c0c07398f'],
  pattern: `^(?!(?:${reservedIds.join('|')})$)[A-Za-z0-9][A-Za-z0-9-]{0,62}$`,
  description: 'Letters, digits and hyphens, at most 63; made by the server unless given',
  errorMessage: `must be 1 to 63 letters, digits and hyphens, begin with a letter or digit, and not be ${reservedIds.join(', ')}`,
})
export const Name = Type.String({
  minLength: 1,
  maxLength: 255,
  examples: ['web-1'],
  pattern: '^[A-Za-z0-9_-]*$',
  errorMessage: 'must have only letters, digits, _ and -',
})
export const Time = Type.String({
  format: 'date-time',
  examples: ['2026-12-31T12:00:00Z'],
  description: 'RFC 3339, UTC',
})
export const Version = Type.Integer({ minimum: 1, description: 'Incremented by every change; the ETag' })
export const Path = Type.String({
  examples: ['/srv/vms'],
  // libvirt's XML can hold no control characters.
  pattern: '^/[^\\u0000-\\u001f\\u007f\\ud800-\\udfff\\ufffe\\uffff]*$',
  maxLength: 4096,
  description: 'Absolute path on the node',
  errorMessage: 'must be an absolute path without control characters',
})
/** Image of a CD or DVD on the node. */
export const Iso = Type.String({ ...Path, examples: ['/srv/iso/debian-13.iso'] })

export const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])

/** The id of the node that Horcrux itself runs on. */
export const localNode = 'local'

export const ById = Type.Object({ id: Id }, { additionalProperties: false })
export const None = Type.Object({}, { additionalProperties: false })
export const Done = Type.Null()

export const oneOf = <const T extends readonly [string, ...string[]]>(...values: T) => Type.Enum<[...T]>([...values])
export const strict = <T extends Record<string, TSchema>>(properties: T) =>
  Type.Object(properties, { additionalProperties: false })

type Field<Column extends string> = Column extends `${infer Name}.${string}` ? Name : Column
type Fields<Columns extends string> = Columns extends `${infer First} ${infer Rest}`
  ? Field<First> | Fields<Rest>
  : Field<Columns>

/**
 * Schema of a record, as {@link strict}, of which lists show these columns by default, in this order: `name status`. `a.b`
 * is a field of a field.
 */
export const record =
  <const Columns extends string>(columns: Columns) =>
  <T extends Record<Fields<Columns>, TSchema>>(properties: T) =>
    Type.Object(properties, { additionalProperties: false, 'x-columns': columns.split(' ') })

/** Schema of a page of a list. `total` counts only items that the caller may see. */
export const Page = <T extends TSchema>(item: T) =>
  strict({
    data: Type.Array(item),
    next_cursor: Type.Union([Type.String(), Type.Null()]),
    total: Type.Integer({ minimum: 0 }),
    facets: Type.Optional(
      Type.Record(Type.String(), Type.Record(Type.String(), Type.Integer()), {
        description: 'With `facets=`: how many items, of all pages, have each value of a field',
      }),
    ),
  })

const verbFields = {
  can: Type.Optional(Type.Array(Type.String(), { description: 'With `can=1`: what the caller may do with it now' })),
  cannot: Type.Optional(
    Type.Record(Type.String(), strict({ error: Type.String(), message: Type.String() }), {
      description: 'With `can=1`: FORBIDDEN without the right, CONFLICT where its state does not let it be done',
    }),
  ),
}

/** As `Page`, of a list with a {@link SearchQuery}. */
export const SearchPage = <P extends TProperties>(item: TObject<P>) =>
  Page(Type.Object({ ...item.properties, ...verbFields }, { additionalProperties: false, ...columnsHint(item) }))

/** Schema of the query of a list with filters on these fields: `filter=status:running,name:web*`. */
export const ListQuery = (...filterable: string[]) =>
  strict({
    limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100 }),
    cursor: Type.Optional(Type.String({ maxLength: 512, description: "The page's next_cursor" })),
    offset: Type.Optional(Type.Integer({ minimum: 0 })),
    fields: Type.Optional(Type.String({ maxLength: 1000, description: 'The fields to answer, separated by commas' })),
    filter: Type.Optional(
      Type.String({
        maxLength: 1000,
        pattern: `^((${filterable.join('|')}):[^,]*(,|$))*$`,
        description: `field:value, separated by commas; a value may end in *. Fields: ${filterable.join(', ')}`,
        errorMessage: `must be field:value pairs separated by commas, with the fields ${filterable.join(', ')}`,
      }),
    ),
  })
export type ListQuery = {
  limit: number
  cursor?: string
  offset?: number
  fields?: string
  filter?: string | undefined
}

type Shape = { type?: string; enum?: unknown; anyOf?: Shape[]; items?: Shape }
const isSingle = ({ type, anyOf = [], enum: values }: Shape): boolean =>
  anyOf.length > 0
    ? anyOf.every((branch) => branch.type === 'null' || isSingle(branch))
    : values !== undefined || ['string', 'integer', 'number', 'boolean'].includes(type ?? '')

const separated = (names: string[], prefix = '') =>
  `^${prefix}(?:${names.join('|')})(?:,${prefix}(?:${names.join('|')}))*$`

/**
 * Schema of the query of a list of these items that is searched with `q`, ordered with `sort` and counted with `facets`.
 * @param filterable fields of `filter` and `facets`
 * @param nested fields inside lists of objects that `q` may name, such as `nics.mac`
 */
export const SearchQuery = (item: TObject, filterable: string[], nested: string[] = []) => {
  const all = Object.entries(item.properties as Record<string, Shape>)
  const single = all.filter(([, shape]) => isSingle(shape)).map(([name]) => name)
  const lists = all.filter(([, { items }]) => items && isSingle(items)).map(([name]) => name)
  const fields = [...single, ...lists, ...nested]
  return strict({
    ...ListQuery(...filterable).properties,
    q: Type.Optional(
      Type.String({
        maxLength: 1000,
        examples: ['web'],
        pattern: queryPattern(fields),
        description: `Words, field:value, field:a,b, -field:value, field:>4GiB, or, "quotes"; a value may end in *. Fields: ${fields.join(', ')}`,
        errorMessage: `must be words and field:value terms (text with a colon, comma or blank in quotes), with the fields ${fields.join(', ')}`,
      }),
    ),
    sort: Type.Optional(
      Type.String({
        maxLength: 200,
        pattern: separated(single, '-?'),
        description: 'Fields, separated by commas; - before a field reverses it',
        errorMessage: `must be fields separated by commas, each with - before it for the reverse: ${single.join(', ')}`,
      }),
    ),
    facets: Type.Optional(
      Type.String({
        maxLength: 200,
        pattern: separated(filterable),
        description: 'Fields whose values are counted, separated by commas',
        errorMessage: `must be fields separated by commas, of ${filterable.join(', ')}`,
      }),
    ),
    can: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 1,
        description: '1: each item tells the actions that the caller may do with it now, and why not the others',
      }),
    ),
  })
}
export type SearchQuery = ListQuery & { q?: string; sort?: string; facets?: string; can?: number }

/** Key of a label as Kubernetes checks it: an optional DNS prefix and a name. */
export const LabelKey = Type.String({
  examples: ['app'],
  pattern: '^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$',
  errorMessage: 'must be a label key: at most 63 letters, digits, -, _ and ., with an optional DNS prefix before a /',
})
export const LabelValue = Type.String({
  examples: ['production'],
  pattern: '^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$',
  errorMessage: 'must be a label value: at most 63 letters, digits, -, _ and ., or empty',
})
export const Labels = Type.Record(LabelKey, LabelValue)
export type Labels = Record<string, string>
