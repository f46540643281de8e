import Schema from 'typebox/schema'
import fc, { type Arbitrary } from 'fast-check'
import { asSent, hostile, type JsonSchema, named, values, type World } from './values.ts'

type Ref = { $ref?: string }
type Parameter = Ref & { name: string; in: 'path' | 'query' | 'header'; required?: boolean; schema: JsonSchema }
type Content = { content?: Record<string, { schema: JsonSchema }> }
type Described = {
  operationId: string
  parameters: Parameter[]
  requestBody?: Content
  responses: Record<string, Ref & Content>
}
export type Document = { paths: Record<string, Record<string, Described>>; components: object }

/** A request as it goes over the wire. */
export type Sent = { line: string; json?: unknown }
export type Answer = { status: number; headers: Record<string, string>; body: unknown; text: string }

/** A route as the API's own description has it. */
export type Route = {
  name: string
  requests: Arbitrary<Sent>
  /** The differences between an answer and its description. */
  faultsOf: (answer: Answer) => string[]
}

const json = 'application/json'
const base = '/api'

/** A text that has its place in a URL, or a value that a text is made of. */
const inUrl = (value: unknown) => {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
  // A lone surrogate has no place in a URL, and with nothing it would be another path.
  return encodeURIComponent(text.toWellFormed() || ' ')
}

/**
 * The routes of an OpenAPI 3.1 document.
 * @param known what is there, by the word before it in a path, and by the name of the property that names it
 */
export function routesOf(document: Document, known: World['known']): Route[] {
  const resolve: World['resolve'] = (schema) =>
    schema.$ref === undefined ? schema : resolve(target(document, schema.$ref))
  const world = { resolve, known }
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, described]) => ({
      name: described.operationId,
      requests: requestsOf(method.toUpperCase(), path, described, world, document),
      faultsOf: (answer: Answer) => faultsOf(described, answer, document),
    })),
  )
}

function target<T>(document: Document, ref: string): T {
  const words = ref.slice(2).split('/')
  return words.reduce<unknown>((at, word) => (at as Record<string, unknown>)[word], document) as T
}

function requestsOf(
  method: string,
  path: string,
  described: Described,
  world: World,
  document: Document,
): Arbitrary<Sent> {
  const parameters = described.parameters.map((one) => (one.$ref ? target<Parameter>(document, one.$ref) : one))
  const of = (place: string) => parameters.filter((one) => one.in === place)
  const before = (name: string) => /([^/]+)\/\{NAME\}/.exec(path.replace(`{${name}}`, '{NAME}'))?.[1] ?? ''
  const inPath = Object.fromEntries(
    of('path').map(({ name, schema }) => [
      name,
      named(world.known[before(name)] ?? world.known[name], fc.oneof(values(schema, world), hostile)),
    ]),
  )
  const query = Object.fromEntries(of('query').map(({ name, schema }) => [name, asSent(schema, world)]))
  const schema = described.requestBody?.content?.[json]?.schema
  const body = schema ? asSent(schema, world) : fc.constant(undefined)
  return fc
    .record({ inPath: fc.record(inPath), query: fc.record(query, { requiredKeys: [] }), body })
    .map(({ inPath: words, query: asked, body: sent }) => {
      const place = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => inUrl(words[name]))
      const search = Object.entries(asked).map(([name, value]) => `${name}=${inUrl(value)}`)
      const line = `${method} ${base}${place}${search.length > 0 ? `?${search.join('&')}` : ''}`
      return { line, ...(sent !== undefined && { json: sent }) }
    })
}

const validators = new WeakMap<object, ReturnType<typeof Schema.Compile>>()
function validatorOf(schema: JsonSchema, document: Document) {
  const made = validators.get(schema) ?? Schema.Compile({ ...schema, components: document.components } as never)
  validators.set(schema, made)
  return made
}

function faultsOf({ responses }: Described, answer: Answer, document: Document): string[] {
  const { status, headers, body, text } = answer
  const response = responses[status]
  if (!response) return [`${status} is not described`]
  const { content } = response.$ref ? target<Content>(document, response.$ref) : response
  const faults = status === 500 ? ['500'] : []
  if (!content) return text === '' || status === 304 ? faults : [...faults, `${status} has a body: ${text}`]
  const type = headers['content-type']?.split(';')[0] ?? ''
  const schema = content[type]?.schema
  if (!schema) return [...faults, `${status} is of type '${type}'`]
  if (type !== json) return faults
  const validator = validatorOf(schema, document)
  if (!validator.Check(body)) {
    const [, errors] = validator.Errors(body)
    const words = errors.map(({ instancePath, message }) => `${instancePath} ${message}`).join('; ')
    faults.push(`${status} is not as described: ${words}: ${text}`)
  }
  return [...faults, ...(status >= 400 ? faultsOfError(answer) : [])]
}

/** Rules for every error answer, beside its schema. */
function faultsOfError({ status, headers, body, text }: Answer): string[] {
  const { status: told, request_id, violations, message } = body as Record<string, unknown>
  const faults: string[] = []
  if (told !== status) faults.push(`${status} says ${String(told)}`)
  if (request_id !== headers['x-request-id']) faults.push(`${status} names another request`)
  if (typeof message !== 'string' || message.length < 5) faults.push(`${status} says nothing: ${text}`)
  if (status === 422 && !(Array.isArray(violations) && violations.length > 0))
    faults.push(`422 without violations: ${text}`)
  if (status === 503 && headers['retry-after'] === undefined) faults.push('503 without Retry-After')
  if (/\bat .*\.(ts|js):\d+/.test(text)) faults.push(`${status} shows a stack: ${text}`)
  return faults
}
