import type { TSchema } from 'typebox'
import { invalid } from '#shared/errors.ts'

type Shape = { properties?: Record<string, Shape>; items?: Shape }

/** The fields of what an action answers: of the record, or of each item of a page. Undefined when it is neither. */
function fieldsOf(result: TSchema): string[] | undefined {
  // TypeBox's schemas are JSON Schema.
  const { properties } = result as Shape
  const record = properties?.['data']?.items ?? { properties }
  return record.properties && Object.keys(record.properties)
}

/**
 * Keeps the fields that `fields=` asks for, of a record or of each item of a page. What it is known by (`id`, or the first
 * field of what has none) is always among them.
 * @returns undefined when everything is wanted
 * @throws ValidationError when a field is asked for that there is not
 */
export function pickerOf(result: TSchema, fields: unknown): ((answer: unknown) => unknown) | undefined {
  if (typeof fields !== 'string') return undefined
  const known = fieldsOf(result)
  const asked = fields
    .split(',')
    .map((field) => field.trim())
    .filter(Boolean)
  const strange = known ? asked.filter((field) => !known.includes(field)) : []
  if (strange.length > 0)
    throw invalid('fields', `has no ${strange.map((field) => `'${field}'`).join(', ')}; there are ${known!.join(', ')}`)
  const key = known && !known.includes('id') ? known[0]! : 'id'
  const wanted = new Set([key, ...asked])
  const pick = (record: object) => Object.fromEntries(Object.entries(record).filter(([name]) => wanted.has(name)))
  return (answer) => {
    if (typeof answer !== 'object' || answer === null) return answer
    return 'data' in answer && Array.isArray(answer.data) ? { ...answer, data: answer.data.map(pick) } : pick(answer)
  }
}
