import type { TSchema } from 'typebox'
import { propertiesOf } from '#shared/contract/branches.ts'
import { invalid } from '#shared/errors.ts'

/** The field names of a result: of the record, or of each item of a page. Undefined for other results. */
function fieldsOf(result: TSchema): string[] | undefined {
  const { data } = propertiesOf(result)
  // TypeBox schemas are JSON Schema.
  const { items } = (data ?? {}) as { items?: TSchema }
  const fields = Object.keys(propertiesOf(items ?? result))
  return fields.length > 0 ? fields : undefined
}

/**
 * Returns a function that keeps only the fields listed in `fields=`, of a record or of each item of a page. The
 * identifying field (`id`, or the first field of a record without one) and the verbs of `can=1` are always kept.
 * @returns undefined if all fields are wanted
 * @throws ValidationError for an unknown field
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
  const wanted = new Set([key, 'can', 'cannot', ...asked])
  const pick = (record: object) => Object.fromEntries(Object.entries(record).filter(([name]) => wanted.has(name)))
  return (answer) => {
    if (typeof answer !== 'object' || answer === null) return answer
    return 'data' in answer && Array.isArray(answer.data) ? { ...answer, data: answer.data.map(pick) } : pick(answer)
  }
}
