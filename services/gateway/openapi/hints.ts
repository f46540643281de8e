import type { TProperties, TSchema } from 'typebox'
import { unitOf } from '#shared/contract/hints.ts'

type Json = Record<string, unknown>
const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null

/** Adds the units of numbers that say them by their names, so that clients find each in `x-unit`. */
export const withUnits = (fields: TProperties, plain: (schema: TSchema) => unknown): Json =>
  Object.fromEntries(
    Object.entries(fields).map(([name, schema]) => {
      const unit = unitOf(name, schema)
      const shape = plain(schema) as Json
      return [name, unit ? { ...shape, 'x-unit': unit } : shape]
    }),
  )

/**
 * Marks the secret fields of a schema: `x-secret`, and for a text the format `password`.
 * @param secrets paths of fields, such as `config.password`
 * @param more further keywords of such a field
 */
export const withSecrets = (schema: unknown, secrets: readonly string[] = [], more: Json = {}): unknown =>
  mark(
    schema,
    secrets.map((path) => path.split('.')),
    more,
  )

function mark(schema: unknown, paths: readonly string[][], more: Json): unknown {
  if (Array.isArray(schema)) return schema.map((one) => mark(one, paths, more))
  if (paths.length === 0 || !isObject(schema)) return schema
  const inner = Object.entries(schema).map(([key, value]): [string, unknown] => {
    if (key === 'properties') return [key, markFields(value as Json, paths, more)]
    return [key, key === 'anyOf' || key === 'items' ? mark(value, paths, more) : value]
  })
  return Object.fromEntries(inner)
}

const markFields = (fields: Json, paths: readonly string[][], more: Json): Json =>
  Object.fromEntries(
    Object.entries(fields).map(([name, field]) => {
      const own = paths.filter(([first]) => first === name).map((path) => path.slice(1))
      const deeper = own.filter((path) => path.length > 0)
      const marked = mark(field, deeper, more)
      return [name, own.length > deeper.length && isObject(marked) ? secretOf(marked, more) : marked]
    }),
  )

const secretOf = (field: Json, more: Json): Json => ({
  ...field,
  ...(field['type'] === 'string' && field['format'] === undefined && { format: 'password' }),
  'x-secret': true,
  ...more,
})
