import fc, { type Arbitrary } from 'fast-check'

/** The part of JSON Schema 2020-12 that the API's description uses. */
export type JsonSchema = {
  $ref?: string
  type?: string
  enum?: unknown[]
  const?: unknown
  anyOf?: JsonSchema[]
  properties?: Record<string, JsonSchema>
  required?: string[]
  items?: JsonSchema
  pattern?: string
  format?: string
  minimum?: number
  maximum?: number
  multipleOf?: number
  minLength?: number
  maxLength?: number
  minItems?: number
  maxItems?: number
  uniqueItems?: boolean
}

/** The named schemas, and the ids of existing resources by the name of a property. */
export type World = {
  resolve: (schema: JsonSchema) => JsonSchema
  known: Record<string, readonly string[]>
}

/** fast-check cannot generate texts for lookaheads; without them one value in thousands does not match. */
const withoutLookahead = (pattern: string) => pattern.replace(/\(\?!(?:[^()]|\([^()]*\))*\)/g, '')

/** Longer ones are hostile, and made as such. */
const usualLength = 40
const usualItems = 3
const usualMost = 1_000_000

function texts({ pattern, format, minLength = 0, maxLength = usualLength }: JsonSchema): Arbitrary<unknown> {
  if (format === 'date-time') return fc.date({ noInvalidDate: true }).map((date) => date.toISOString())
  if (pattern === undefined) return fc.string({ minLength, maxLength: Math.min(maxLength, minLength + usualLength) })
  return fc.stringMatching(new RegExp(withoutLookahead(pattern)))
}

function numbers({ type, minimum = 0, maximum = minimum + usualMost, multipleOf = 1 }: JsonSchema): Arbitrary<unknown> {
  const [min, max] = [Math.ceil(minimum / multipleOf), Math.floor(maximum / multipleOf)]
  if (type === 'integer') return fc.integer({ min, max }).map((count) => count * multipleOf)
  return fc.double({ min: minimum, max: maximum, noNaN: true })
}

/** Mostly ids of existing resources, else values of the schema. */
export const named = (known: readonly string[] | undefined, others: Arbitrary<unknown>): Arbitrary<unknown> =>
  known ? fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...known) }, { weight: 1, arbitrary: others }) : others

function objects({ properties = {}, required = [] }: JsonSchema, world: World): Arbitrary<unknown> {
  const model = Object.entries(properties).map(([key, one]) => [key, named(world.known[key], values(one, world))])
  // Object.fromEntries loses the type of its pairs.
  return fc.record(Object.fromEntries(model) as Record<string, Arbitrary<unknown>>, {
    requiredKeys: required.filter((key) => Object.hasOwn(properties, key)),
  })
}

function arrays(schema: JsonSchema, world: World): Arbitrary<unknown> {
  const { items = {}, minItems: minLength = 0, maxItems = usualItems, uniqueItems } = schema
  const bounds = { minLength, maxLength: Math.max(minLength, Math.min(maxItems, usualItems)) }
  const one = values(items, world)
  return uniqueItems ? fc.uniqueArray(one, { ...bounds, comparator: 'SameValueZero' }) : fc.array(one, bounds)
}

const makers: Record<string, (schema: JsonSchema, world: World) => Arbitrary<unknown>> = {
  object: objects,
  array: arrays,
  string: texts,
  integer: numbers,
  number: numbers,
  boolean: () => fc.boolean(),
  null: () => fc.constant(null),
}
const anything = () => fc.jsonValue({ maxDepth: 2 })

/** Values that a schema allows, as far as a schema alone can say. */
export function values(asked: JsonSchema, world: World): Arbitrary<unknown> {
  const schema = world.resolve(asked)
  if ('const' in schema) return fc.constant(schema.const)
  if (schema.enum) return fc.constantFrom(...schema.enum)
  if (schema.anyOf) return fc.oneof(...schema.anyOf.map((one) => values(one, world)))
  const make = makers[schema.type ?? ''] ?? anything
  return make(schema, world)
}

const nasty: unknown[] = [
  null,
  true,
  -1,
  1.5,
  2 ** 53,
  1e308,
  '',
  ' ',
  '\0',
  '\u{1F4A9}',
  '\uD800',
  '\u202Etxt',
  '../../etc/passwd',
  '/',
  '%00',
  '%2e%2e%2f',
  '__proto__',
  'constructor',
  '$where',
  "'; DROP TABLE vms; --",
  '<script>alert(1)</script>',
  'x'.repeat(3000),
  {},
  [],
  [[[[]]]],
  { $gt: '' },
  { $ne: null },
  JSON.parse('{"__proto__":{"admin":true}}'),
  { constructor: { prototype: { admin: true } } },
]
export const hostile: Arbitrary<unknown> = fc.oneof(fc.constantFrom(...nasty), fc.jsonValue({ maxDepth: 3 }))

type Spoiling = { where: number; what: unknown; how: 'replace' | 'drop' | 'add' }
const spoilings: Arbitrary<Spoiling> = fc.record({
  where: fc.nat(1000),
  what: hostile,
  how: fc.constantFrom('replace', 'replace', 'drop', 'add'),
})

/** The places in a value, each with a function that puts another one there; undefined takes it away. */
function places(value: unknown, put: (other: unknown) => unknown): ((other: unknown) => unknown)[] {
  const own = [put]
  if (Array.isArray(value))
    return [...own, ...value.flatMap((one, index) => places(one, (other) => put(value.with(index, other))))]
  if (typeof value !== 'object' || value === null) return own
  return [
    ...own,
    ...Object.entries(value).flatMap(([key, one]) => places(one, (other) => put({ ...value, [key]: other }))),
  ]
}

function spoil(value: unknown, { where, what, how }: Spoiling): unknown {
  const all = places(value, (other) => other)
  const put = all[where % all.length]!
  if (how === 'add' && typeof value === 'object' && value !== null) return { ...value, unheard_of: what }
  return put(how === 'drop' ? undefined : what)
}

/** Values as they come from others: right ones, and right ones with something wrong in one place. */
export const asSent = (schema: JsonSchema, world: World): Arbitrary<unknown> => {
  const right = values(schema, world)
  const spoilt = fc.tuple(right, spoilings).map(([value, spoiling]) => spoil(value, spoiling))
  return fc.oneof({ weight: 4, arbitrary: right }, { weight: 4, arbitrary: spoilt }, { weight: 1, arbitrary: hostile })
}
