import { readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { TSchema } from 'typebox'
import { branchesOf, propertiesOf } from '#shared/contract/branches.ts'
import { type Action as ContractAction, isChange, isOperation } from '#shared/contract/contract.ts'
import { columnsOf, exampleOf, unitOf } from '#shared/contract/hints.ts'
import { contracts } from '#shared/contracts/index.ts'
import type { Action, Form, Manifest, Param, Unit } from '../cli/manifest/types.ts'

export const manifestFile = resolve(import.meta.dirname, '../cli/manifest/manifest.json')

/** TypeBox's schemas are JSON Schema; these are the keywords that matter here. */
type Schema = {
  type?: string
  enum?: unknown[]
  const?: unknown
  anyOf?: Schema[]
  properties?: Record<string, Schema>
  required?: string[]
  items?: Schema
  default?: unknown
  description?: string
}

const kebab = (name: string) => name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)

/** Deeper fields are given as JSON or in a file. */
const maxDepth = 3

function formOf(name: string, schema: Schema, depth = 0): Form {
  const union = schema.anyOf ?? []
  const real = union.filter(({ type }) => type !== 'null')
  const shared = {
    ...(schema.default !== undefined && { default: schema.default }),
    ...(schema.description !== undefined && { does: schema.description }),
    ...(real.length < union.length && { nullable: true as const }),
    ...unitIn(name, schema),
  }
  if (real.length === 1) return { ...formOf(name, real[0]!, depth), ...shared }
  return { ...typeOf(name, schema, real.length > 0 ? real : [schema], depth), ...shared }
}

/** `branches` are those of a union, else the schema itself. */
function typeOf(name: string, schema: Schema, branches: Schema[], depth: number): Form {
  const words = wordsOf(branches)
  if (words) return { type: 'string', enum: words }
  // A union of objects has the fields of all its branches.
  if (branches.some(({ type }) => type === 'object')) return objectOf(schema, depth)
  if (schema.type === 'array') return { type: 'array', items: formOf(name, schema.items ?? {}, depth + 1) }
  const type = (['string', 'integer', 'number', 'boolean'] as const).find((known) => known === schema.type) ?? 'any'
  const example = type === 'string' ? exampleOf(schema as TSchema) : undefined
  return { type, ...unitIn(name, schema), ...(typeof example === 'string' && { example }) }
}

function unitIn(name: string, schema: Schema): { unit?: Unit } {
  const unit = unitOf(name, schema as TSchema)
  return unit ? { unit } : {}
}

/** The words that an enumeration, or a union of constants, allows. */
function wordsOf(schemas: Schema[]): string[] | undefined {
  const words = schemas.flatMap((one) => one.enum ?? (one.const === undefined ? [undefined] : [one.const]))
  return words.every((word) => typeof word === 'string') ? words : undefined
}

function objectOf(schema: Schema, depth: number): Form {
  const fields = Object.entries(propertiesOf(schema as TSchema))
  if (fields.length === 0 || depth >= maxDepth) return { type: 'object' }
  return {
    type: 'object',
    fields: Object.fromEntries(
      fields.map(([name, field]) => [name, formOf(name, merged(schema, name, field), depth + 1)]),
    ),
  }
}

/** A field that several branches of a union have; constants that tell the branches apart become one enumeration. */
function merged(schema: Schema, name: string, field: TSchema): Schema {
  const all = branchesOf(schema as TSchema).flatMap(({ properties }) => properties?.[name] ?? []) as Schema[]
  const words = wordsOf(all)
  return words ? { ...(field as Schema), enum: [...new Set(words)] } : (field as Schema)
}

function paramsOf(action: ContractAction, path: string): Param[] {
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!)
  const schema = action.params as Schema
  const properties = Object.entries(propertiesOf(action.params))
  const secrets = new Set(action.secret)
  const params = properties.map(([name, field]): Param => {
    const form = withSecrets(formOf(name, merged(schema, name, field)), name, secrets)
    const isRequired = form.default === undefined && requiredIn(schema, name)
    return {
      name,
      ...form,
      ...(isRequired && { required: true }),
      ...(inPath.includes(name) && { path: true }),
    }
  })
  const place = ({ name, path }: Param) => (path ? inPath.indexOf(name) : inPath.length)
  return params.toSorted((a, b) => place(a) - place(b))
}

/** Marks `config.password` inside `config`, at any depth. */
function withSecrets({ fields, items, ...form }: Form, path: string, secrets: Set<string>): Form {
  const inner = Object.entries(fields ?? {}).map(([name, field]) => [
    name,
    withSecrets(field, `${path}.${name}`, secrets),
  ])
  const marked = {
    ...form,
    ...(fields && { fields: Object.fromEntries(inner) as Record<string, Form> }),
    ...(items && { items: withSecrets(items, path, secrets) }),
  }
  if (!secrets.has(path)) return marked
  const { example: _, ...secret } = marked
  return { ...secret, secret: true }
}

/** Every branch of the parameters requires it. */
const requiredIn = (schema: Schema, name: string) =>
  branchesOf(schema as TSchema).every(({ required }) => required?.includes(name))

function resultOf(result: Schema): Pick<Action, 'result' | 'fields'> {
  if (result.type === 'null') return { result: 'none' }
  const { data, next_cursor } = propertiesOf(result as TSchema) as Record<string, Schema | undefined>
  const isList = data?.type === 'array'
  const item = isList ? (data.items ?? {}) : result
  const fields = Object.entries(propertiesOf(item as TSchema)).map(([name, field]): [string, Form] => [
    name,
    shownForm(formOf(name, field as Schema)),
  ])
  const kind = isList ? (next_cursor ? 'page' : 'data') : 'record'
  const columns = columnsOf(item as TSchema)
  return {
    result: kind,
    ...(columns && { columns: [...columns] }),
    ...(fields.length > 0 && { fields: Object.fromEntries(fields) }),
  }
}

/** The form of a field for tables: its type and unit, and its fields that have a unit. */
function shownForm({ type, unit, nullable, fields, items }: Form): Form {
  const inner = Object.entries(fields ?? {})
    .map(([name, field]): [string, Form] => [name, shownForm(field)])
    .filter(([, field]) => hasUnit(field))
  const item = items && shownForm(items)
  return {
    type,
    ...(unit && { unit }),
    ...(nullable && { nullable }),
    ...(inner.length > 0 && { fields: Object.fromEntries(inner) }),
    ...(item && hasUnit(item) && { items: item }),
  }
}

const hasUnit = ({ unit, fields, items }: Form): boolean => [unit, fields, items].some((part) => part !== undefined)

/** Every routed action of the contracts as a command. The command line reads this, and nothing else of the server. */
export function manifestOf(): Manifest {
  return contracts.flatMap(({ name, actions }) =>
    Object.entries(actions).flatMap(([key, action]): Action[] => {
      if (!action.rest) return []
      const [method, path] = action.rest.split(' ') as [Action['method'], string]
      return [
        {
          noun: name,
          verb: kebab(key),
          does: action.does,
          method,
          path,
          params: paramsOf(action, path),
          ...(isOperation(action) && { operation: true }),
          ...(isChange(action) && { change: true }),
          ...(revealsSecret(action) && { reveals: true as const }),
          ...resultOf(action.result as Schema),
        },
      ]
    }),
  )
}

/** A secret field of the result that is no parameter. */
function revealsSecret({ secret = [], params, result }: ContractAction): boolean {
  const [given, told] = [propertiesOf(params), propertiesOf(result)]
  return secret.some((name) => Object.hasOwn(told, name) && !Object.hasOwn(given, name))
}

/** One action a line, so that changes of different actions do not meet. */
export const manifestText = () =>
  `[\n${manifestOf()
    .map((action) => JSON.stringify(action))
    .join(',\n')}\n]\n`

export const storedManifest = () => readFileSync(manifestFile, 'utf8')

if (import.meta.main) writeFileSync(manifestFile, manifestText())
