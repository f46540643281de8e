import type { FastifyRequest } from 'fastify'
import type { TSchema } from 'typebox'
import { ValidationError, type Violation } from '#shared/errors.ts'
import { check, fromText } from '#shared/contract/validate.ts'

type Fields = Record<string, unknown>

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/**
 * Reads an action's parameters from path, query and body. Text is converted by the schema, the body is taken as it is;
 * the service validates both. A parameter given twice is refused here.
 * @throws ValidationError with all violations
 */
export function paramsOf(schema: TSchema, request: FastifyRequest): Fields {
  const { body } = request
  const violations: Violation[] = []
  const refuse = (field: string, code: string, message: string) => violations.push({ field, code, message })
  if (body !== undefined && body !== null && !isObject(body)) refuse('body', 'type', 'must be an object')

  const text: Fields = {}
  for (const [name, value] of Object.entries(request.query as Fields)) {
    if (Array.isArray(value)) refuse(name, 'repeated', 'must be given only once')
    else text[name] = value
  }
  for (const [name, value] of Object.entries(request.params as Fields)) {
    if (name in text && text[name] !== value) refuse(name, 'mismatch', 'differs between path and query')
    text[name] = value
  }
  const params = fromText(schema, text) as Fields
  for (const [name, value] of isObject(body) ? Object.entries(body) : []) {
    if (name in params && params[name] !== value)
      refuse(
        name,
        'mismatch',
        `differs from the '${name}' in the ${name in (request.params as Fields) ? 'path' : 'query'}`,
      )
    params[name] = value
  }
  if (violations.length === 0) return params
  throw new ValidationError([...violations, ...othersOf(schema, params, violations)])
}

/** Adds all other violations, so that the caller gets them in one answer. */
function othersOf(schema: TSchema, params: Fields, known: Violation[]): Violation[] {
  const fields = new Set(known.map(({ field }) => field))
  try {
    check(schema, params)
    return []
  } catch (error) {
    if (!(error instanceof ValidationError)) throw error
    return error.violations.filter(({ field }) => !fields.has(field))
  }
}
