import type { TSchema } from 'typebox'

/** Units of numbers in the API. */
export const units = [
  'bytes',
  'MiB',
  'bytes/s',
  'MiB/s',
  'Mbit/s',
  'nanoseconds',
  'milliseconds',
  'seconds',
  'hours',
  'days',
  'percent',
] as const
export type Unit = (typeof units)[number]

/** Ends of names that say the unit of the number. */
const namedUnits: readonly (readonly [RegExp, Unit])[] = [
  [/(^|_)bytes_per_second$/, 'bytes/s'],
  [/(^|_)mib_(per_second|s)$/, 'MiB/s'],
  [/(^|_)mbps$/, 'Mbit/s'],
  [/(^|_)bytes$/, 'bytes'],
  [/(^|_)mib$/, 'MiB'],
  [/(^|_)ns$/, 'nanoseconds'],
  [/(^|_)ms$/, 'milliseconds'],
  [/(^|_)seconds$/, 'seconds'],
  [/(^|_)hours$/, 'hours'],
  [/(^|_)days$/, 'days'],
  [/(^|_)percent$/, 'percent'],
]

/** Keywords of a schema that are no validation, but tell how its value is shown and entered. */
type Hinted = {
  type?: string
  anyOf?: Hinted[]
  'x-unit'?: Unit
  'x-columns'?: readonly string[]
  examples?: readonly unknown[]
}

// TypeBox's schemas are JSON Schema, with any further keyword.
const hinted = (schema: TSchema): Hinted => schema as Hinted

const isNumber = ({ type, anyOf = [] }: Hinted): boolean =>
  type === 'integer' || type === 'number' || anyOf.some(isNumber)

const ownUnit = (schema: Hinted): Unit | undefined =>
  schema['x-unit'] ?? schema.anyOf?.map(ownUnit).find((unit) => unit !== undefined)

/** The unit of a field that is a number: its hint `x-unit`, else the unit that ends its name. */
export function unitOf(name: string, schema: TSchema): Unit | undefined {
  if (!isNumber(hinted(schema))) return undefined
  return ownUnit(hinted(schema)) ?? namedUnits.find(([pattern]) => pattern.test(name))?.[1]
}

/** The fields of a record that a list shows by default, in their order; `a.b` is a field of a field. */
export const columnsOf = (record: TSchema): readonly string[] | undefined => hinted(record)['x-columns']

/** The hint with the columns of a record, for a schema that is made from its fields. */
export const columnsHint = (record: TSchema) => {
  const columns = columnsOf(record)
  return columns ? { 'x-columns': columns } : {}
}

/** A value that the field can have: its first example, or that of one of its branches. */
export const exampleOf = (schema: TSchema): unknown => exampleIn(hinted(schema))

const exampleIn = ({ examples, anyOf = [] }: Hinted): unknown =>
  examples?.[0] ?? anyOf.map(exampleIn).find((example) => example !== undefined)
