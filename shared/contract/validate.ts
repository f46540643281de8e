import type { TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import type { TLocalizedValidationError } from 'typebox/error'
import { Settings } from 'typebox/system'
import { Value } from 'typebox/value'
import { isDeepStrictEqual } from 'node:util'
import { propertiesOf } from '#shared/contract/branches.ts'
import { ValidationError, type Violation } from '#shared/errors.ts'

Settings.Set({ maxErrors: 200 })

type Compiled = ReturnType<typeof Compile>
const compiled = new WeakMap<TSchema, Compiled>()

function compile(schema: TSchema): Compiled {
  const known = compiled.get(schema)
  if (known) return known
  const made = Compile(schema)
  compiled.set(schema, made)
  return made
}

/**
 * Fills in defaults and checks a value against its schema. A schema's own `errorMessage` replaces the message of its
 * `pattern`.
 * @throws ValidationError with all violations, one for each field
 */
export function check<T>(schema: TSchema, value: unknown): T {
  const validator = compile(schema)
  const withDefaults = Value.Default(schema, value)
  if (validator.Check(withDefaults)) return withDefaults as T
  throw new ValidationError(violationsOf(validator.Errors(withDefaults), schema))
}

export const isValid = (schema: TSchema, value: unknown) => compile(schema).Check(value)

/**
 * Converts the text of query strings and path parameters by the schema: plain decimal numbers, `true` and `false`. Any
 * other text stays text, and the schema refuses it.
 */
export function fromText(schema: TSchema, text: Record<string, unknown>): Record<string, unknown> {
  const properties = propertiesOf(schema)
  return Object.fromEntries(Object.entries(text).map(([name, value]) => [name, read(properties[name], value)]))
}

function read(schema: TSchema | undefined, value: unknown): unknown {
  if (typeof value !== 'string') return value
  const { type, anyOf = [] } = (schema ?? {}) as { type?: string; anyOf?: TSchema[] }
  const types = [type, ...anyOf.map((branch) => (branch as { type?: string }).type)]
  if (types.includes('string')) return value
  const isNumeric = types.includes('number') || types.includes('integer')
  if (isNumeric && /^-?\d{1,15}(\.\d{1,15})?$/.test(value)) return Number(value)
  if (types.includes('boolean') && (value === 'true' || value === 'false')) return value === 'true'
  return value
}

/**
 * Makes one violation for each field, with the API's messages. For a union only the best-fitting branch is reported.
 */
export function violationsOf(errors: TLocalizedValidationError[], schema: TSchema): Violation[] {
  const byField = new Map<string, Violation>()
  for (const error of withoutOtherBranches(errors)) {
    for (const { field, message } of explain(error, schema)) {
      const known = byField.get(field)
      if (!known) byField.set(field, { field, code: error.keyword, message })
      else if (!known.message.includes(message)) known.message += ` and ${message}`
    }
  }
  return [...byField.values()]
}

/**
 * Drops the errors of all branches of a union but the one with the fewest errors. A wrong constant (tag) rules a branch
 * out.
 */
function withoutOtherBranches(errors: TLocalizedValidationError[]): TLocalizedValidationError[] {
  const dropped = new Set<TLocalizedValidationError>()
  for (const union of errors.filter(({ keyword }) => keyword === 'anyOf')) {
    const prefix = `${union.schemaPath}/anyOf/`
    // All items of an array share a schema path; the errors of each item are separate.
    const isWithin = ({ instancePath }: TLocalizedValidationError) =>
      instancePath === union.instancePath || instancePath.startsWith(`${union.instancePath}/`)
    const branches = Map.groupBy(
      errors.filter((error) => error.schemaPath.startsWith(prefix) && isWithin(error)),
      (error) => error.schemaPath.slice(prefix.length).split('/')[0]!,
    )
    // A value that is given is no try of null.
    const isNull = ({ keyword, instancePath, params }: TLocalizedValidationError) =>
      keyword === 'type' && params.type === 'null' && instancePath === union.instancePath
    const cost = (branch: TLocalizedValidationError[]) =>
      branch.length + branch.filter(isConst).length * 1000 + branch.filter(isNull).length * 500
    const ranked = [...branches.values()].sort((a, b) => cost(a) - cost(b))
    for (const branch of ranked.slice(1)) for (const error of branch) dropped.add(error)
    // If no constant fits, the wanted branch is unknown: only errors that every branch has are kept.
    const [best = [], ...others] = ranked
    const isInAll = (error: TLocalizedValidationError) => others.every((branch) => branch.some(isSameAs(error)))
    if (best.some(isConst)) for (const error of best) if (!isConst(error) && !isInAll(error)) dropped.add(error)
    if (ranked.length > 0) dropped.add(union)
  }
  return errors.filter((error) => !dropped.has(error))
}

const isSameAs = (one: TLocalizedValidationError) => (other: TLocalizedValidationError) =>
  one.keyword === other.keyword &&
  one.instancePath === other.instancePath &&
  isDeepStrictEqual(one.params, other.params)

const isConst = ({ keyword }: TLocalizedValidationError) => keyword === 'const'

/** The constants of all branches of the union at this place: the allowed values. */
function choices(schema: TSchema, { schemaPath }: TLocalizedValidationError): unknown[] {
  const [, union = '', rest = ''] = /^(.*)\/anyOf\/\d+(\/.*)$/.exec(schemaPath) ?? []
  const branches = schemaAt(schema, `${union}/anyOf`)
  const paths = Array.isArray(branches) ? branches.map((_, i) => `${union}/anyOf/${i}${rest}`) : [schemaPath]
  return paths
    .map((path) => (schemaAt(schema, path) as { const?: unknown } | undefined)?.const)
    .filter((value) => value !== undefined)
}

const fieldOf = (pointer: string) => pointer.slice(1).replaceAll('/', '.').replaceAll('~1', '/').replaceAll('~0', '~')
const join = (parent: string, name: string) => (parent ? `${parent}.${name}` : name)
const article = (type: unknown) => (/^[aeiou]/.test(String(type)) ? `an ${String(type)}` : `a ${String(type)}`)

/**
 * Translates a schema error into field and message. A missing or unknown property is a violation of the property, not
 * of its parent.
 */
function explain(error: TLocalizedValidationError, schema: TSchema): { field: string; message: string }[] {
  const { keyword, instancePath, params, message } = error
  const field = fieldOf(instancePath)
  const { limit, multipleOf, type, allowedValues, requiredProperties, additionalProperties } = params as Record<
    string,
    unknown
  >
  const here = (text: string) => [{ field: field || 'body', message: text }]
  switch (keyword) {
    case 'required':
      return (requiredProperties as string[])
        .filter((name) => !hasDefault(schemaAt(schema, error.schemaPath), name))
        .map((name) => ({ field: join(field, name), message: 'is required' }))
    case 'additionalProperties':
      return (additionalProperties as string[]).map((name) => ({
        field: join(field, name),
        message: 'is not known here',
      }))
    case 'boolean':
    // Each wrong name has an error of its own.
    case 'propertyNames':
      return []
    case 'type':
      return here(`must be ${Array.isArray(type) ? (type as string[]).join(' or ') : article(type)}`)
    case 'multipleOf':
      return here(`must be a multiple of ${String(multipleOf)}`)
    case 'minimum':
      return here(`must be at least ${String(limit)}`)
    case 'maximum':
      return here(`must be at most ${String(limit)}`)
    case 'minLength':
      return here(Number(limit) === 1 ? 'must not be empty' : `must have at least ${String(limit)} characters`)
    case 'maxLength':
      return here(`must have at most ${String(limit)} characters`)
    case 'enum':
      return here(`must be one of ${(allowedValues as unknown[]).map(String).join(', ')}`)
    default:
      return here(ownMessage(schema, error) ?? message)
  }
}

/** The subschema at a path such as `#/properties/name`. */
function schemaAt(schema: TSchema, schemaPath: string): unknown {
  return schemaPath
    .split('/')
    .slice(1)
    .reduce<unknown>((at, part) => (at as Record<string, unknown> | undefined)?.[part], schema)
}

function ownMessage(schema: TSchema, error: TLocalizedValidationError): string | undefined {
  if (isConst(error)) return `must be one of ${choices(schema, error).join(', ')}`
  if (error.keyword !== 'pattern') return undefined
  return (schemaAt(schema, error.schemaPath) as { errorMessage?: string } | undefined)?.errorMessage
}

/**
 * Checks that a property has a default. Defaults are not filled into a union that no branch fits, so such a property is
 * not missing.
 */
function hasDefault(object: unknown, name: string) {
  return (
    (object as { properties?: Record<string, { default?: unknown }> } | undefined)?.properties?.[name]?.default !==
    undefined
  )
}
