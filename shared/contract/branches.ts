import type { TProperties, TSchema } from 'typebox'

// TypeBox's schemas are JSON Schema.
type Shape = { properties?: TProperties; required?: string[]; anyOf?: TSchema[] }

/** The objects that a schema allows: itself, or the branches of a union. */
export const branchesOf = (schema: TSchema): Shape[] =>
  (schema as Shape).anyOf?.flatMap(branchesOf) ?? [schema as Shape]

/** All fields that a schema knows, in any of its branches. */
export const propertiesOf = (schema: TSchema): TProperties =>
  Object.assign({}, ...branchesOf(schema).map(({ properties }) => properties)) as TProperties
