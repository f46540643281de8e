import type { TSchema } from 'typebox'
import { expect, test } from 'vitest'
import type { Action } from '#shared/contract/contract.ts'
import { columnsOf, unitOf, units } from '#shared/contract/hints.ts'
import { isValid } from '#shared/contract/validate.ts'
import { contracts } from '#shared/contracts/index.ts'

type Schema = {
  type?: string
  description?: string
  'x-unit'?: string
  anyOf?: Schema[]
  properties?: Record<string, Schema>
  items?: Schema
  patternProperties?: Record<string, Schema>
}
type Field = { name: string; path: string; schema: Schema }

/** Every named field of a schema, at any depth. */
function fieldsOf({ properties = {}, items, anyOf = [], patternProperties = {} }: Schema, path: string): Field[] {
  const own = Object.entries(properties).flatMap(([name, schema]) => [
    { name, path: `${path}.${name}`, schema },
    ...fieldsOf(schema, `${path}.${name}`),
  ])
  const inner = [...(items ? [items] : []), ...anyOf, ...Object.values(patternProperties)]
  return [...own, ...inner.flatMap((schema) => fieldsOf(schema, path))]
}

const actions = contracts.flatMap((contract) =>
  Object.entries(contract.actions as Record<string, Action>).map(([key, action]) => ({
    name: `${contract.name}.${key}`,
    action,
  })),
)
const fields = actions.flatMap(({ name, action }) => [
  ...fieldsOf(action.params as Schema, name),
  ...fieldsOf(action.result as Schema, name),
])

const isNumber = ({ type, anyOf = [] }: Schema): boolean =>
  type === 'integer' || type === 'number' || anyOf.some(isNumber)
const textOf = ({ description = '', anyOf = [] }: Schema): string => [description, ...anyOf.map(textOf)].join(' ')
const word = /\b(bytes|[KMGT]iB|mib|megabits?|mbps|bps|ms|ns|(milli|nano)?seconds|minutes|hours|days|percent)\b/i

/** Numbers that count something else, although their name or description speaks of a unit. */
const counts: Record<string, string> = {
  hourly: 'backups that stay',
  unmeasured: 'snapshots',
  seconds_within: 'migrations',
  bytes_within: 'migrations',
  median_seconds_ratio: 'a quotient',
  load_5: 'processes, as the kernel counts them over five minutes',
  load_15: 'processes, as the kernel counts them over fifteen minutes',
}

test('every number that speaks of bytes, MiB, seconds, percent and the like has a unit', () => {
  const speaking = fields.filter(
    ({ name, schema }) => isNumber(schema) && word.test(`${name.replaceAll('_', ' ')} ${textOf(schema)}`),
  )
  expect(speaking.length).toBeGreaterThan(300)
  const without = speaking.filter(({ name, schema }) => unitOf(name, schema as TSchema) === undefined)
  expect([
    ...new Set(without.filter(({ name }) => !(name in counts)).map(({ path, schema }) => `${path} ${textOf(schema)}`)),
  ]).toEqual([])
  // An exception that nothing needs would hide the next mistake.
  expect(new Set(without.map(({ name }) => name))).toEqual(new Set(Object.keys(counts)))
})

test('a hint is one of the known units, and says no other unit than the name', () => {
  const hinted = fields.filter(({ schema }) => schema['x-unit'] !== undefined)
  expect(hinted.length).toBeGreaterThan(20)
  for (const { path, schema } of hinted) expect(units, path).toContain(schema['x-unit'])
})

/** Texts with a pattern, at any depth; items of lists have the path of their list. */
function textsOf(schema: TextSchema, path: string): { path: string; schema: TextSchema }[] {
  const { type, pattern, properties = {}, items, anyOf = [], patternProperties = {} } = schema
  const own = type === 'string' && pattern !== undefined ? [{ path, schema }] : []
  const inner = [...(items ? [items] : []), ...anyOf, ...Object.values(patternProperties)]
  return [
    ...own,
    ...Object.entries(properties).flatMap(([name, field]) => textsOf(field, `${path}.${name}`)),
    ...inner.flatMap((one) => textsOf(one, path)),
  ]
}
type TextSchema = {
  type?: string
  pattern?: string
  examples?: unknown[]
  properties?: Record<string, TextSchema>
  items?: TextSchema
  anyOf?: TextSchema[]
  patternProperties?: Record<string, TextSchema>
}

const withBody = actions.filter(({ action }) => /^(POST|PUT|PATCH) /.test(action.rest ?? ''))
const texts = withBody.flatMap(({ name, action }) => textsOf(action.params as TextSchema, name))

test('every text with a pattern in a request has an example that fits it', () => {
  expect(texts.length).toBeGreaterThan(300)
  const secrets = new Set(
    withBody.flatMap(({ name, action }) => (action.secret ?? []).map((path) => `${name}.${path}`)),
  )
  // A pattern that only excludes characters leaves the text free.
  const isFree = ({ pattern = '' }: TextSchema) => /^\^\[\^[^\]]*\][*+]\$$/.test(pattern) || pattern === '^[\\s\\S]*$'
  const plain = texts.filter(({ path, schema }) => !secrets.has(path) && !isFree(schema))
  const without = plain.filter(({ schema }) => !schema.examples?.length)
  expect([...new Set(without.map(({ path, schema }) => `${path} ${schema.pattern}`))]).toEqual([])
  for (const { path, schema } of plain)
    for (const example of schema.examples ?? [])
      expect(isValid(schema as TSchema, example), `${path}: ${String(example)}`).toBe(true)
})

test('no secret has an example or a default, which someone would take over', () => {
  const secrets = actions.flatMap(({ name, action }) => {
    const listed = (action.secret ?? []).map((path) => `${name}.${path}`)
    return fields.filter(({ path }) => listed.includes(path))
  })
  expect(secrets.length).toBeGreaterThan(30)
  for (const { path, schema } of secrets) {
    expect(schema, path).not.toHaveProperty('examples')
    expect(schema, path).not.toHaveProperty('default')
  }
})

/** The schema at `a.b` of a record. */
const fieldAt = (record: Schema, column: string): Schema | undefined =>
  column.split('.').reduce<Schema | undefined>((at, name) => {
    const branches = at ? [at, ...(at.anyOf ?? [])] : []
    return branches.map(({ properties }) => properties?.[name]).find(Boolean)
  }, record)

test('every list with pages names the columns that it shows, all of them fields of its records', () => {
  const lists = actions.flatMap(({ name, action }) => {
    const { properties = {} } = action.result as Schema
    const item = properties['data']?.items
    return action.rest?.startsWith('GET') && properties['next_cursor'] && item ? [{ name, item }] : []
  })
  expect(lists.length).toBeGreaterThan(35)
  for (const { name, item } of lists) {
    const columns = columnsOf(item as TSchema) ?? []
    expect(columns.length, name).toBeGreaterThan(2)
    expect(
      columns.filter((column) => !fieldAt(item, column)),
      name,
    ).toEqual([])
  }
})
