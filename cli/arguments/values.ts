import type { Form } from '../manifest/types.ts'
import { amountIn, unitExamples } from '../manifest/units.ts'

/** A value that does not fit its form; the caller knows which flag it belongs to. */
export class ValueError extends Error {}

/** Reads the text of a flag by its form. @throws ValueError */
export function valueOf(text: string, form: Form): unknown {
  if (form.nullable && text === 'null') return null
  switch (form.type) {
    case 'boolean':
      if (text === 'true' || text === 'false') return text === 'true'
      throw new ValueError(`must be true or false, not '${text}'`)
    case 'integer':
    case 'number':
      return numberOf(text, form)
    case 'object':
      return objectOf(text, form)
    case 'array':
      return arrayOf(text, form)
    case 'any':
      return looseValueOf(text)
    default:
      if (form.enum && !form.enum.includes(text))
        throw new ValueError(`must be one of ${form.enum.join(', ')}, not '${text}'`)
      return text
  }
}

/** A number, with its unit if it has one: `4GiB`, `1.5GiB`, `5m`. A comma is refused: it is a decimal sign to some. */
function numberOf(text: string, { type, unit }: Form): number {
  const number = amountIn(unit, text)
  if (number === undefined)
    throw new ValueError(
      `must be ${unit ? `a number with a unit such as ${unitExamples(unit)}` : 'a number such as 2'}, not '${text}'`,
    )
  if (type === 'integer' && !Number.isInteger(number))
    throw new ValueError(`must be a whole number${unit ? ` of ${unit}` : ''}; '${text}' is ${number}`)
  return number
}

/** An object as JSON, or as `name=value,name=value`. `tags=a;b` is a list. */
function objectOf(text: string, { fields }: Form): Record<string, unknown> {
  if (text.trim().startsWith('{')) return withoutSecrets(jsonOf(text) as Record<string, unknown>, fields)
  const object: Record<string, unknown> = {}
  for (const pair of text.split(',')) {
    const at = pair.indexOf('=')
    if (at < 1) throw new ValueError(`must be JSON, or name=value pairs separated by commas, not '${text}'`)
    const name = pair.slice(0, at).trim().replaceAll('-', '_')
    const raw = pair.slice(at + 1)
    const form = fields?.[name]
    if (fields && !form)
      throw new ValueError(`has no '${pair.slice(0, at)}'; there are ${Object.keys(fields).join(', ')}`)
    object[fields ? name : pair.slice(0, at).trim()] = form ? fieldOf(name, raw, form) : raw
  }
  return withoutSecrets(object, fields)
}

/** @throws ValueError for a secret, which every user of the machine would see in the list of processes */
function withoutSecrets(object: Record<string, unknown>, fields: Form['fields']): Record<string, unknown> {
  const secret = Object.keys(object).find((name) => fields?.[name]?.secret)
  if (secret !== undefined)
    throw new ValueError(`${secret} is a secret, which is not taken as an argument; give it in a file with -f`)
  return object
}

function fieldOf(name: string, text: string, form: Form): unknown {
  try {
    return valueOf(text, form)
  } catch (error) {
    if (error instanceof ValueError) throw new ValueError(`${name} ${error.message}`, { cause: error })
    throw error
  }
}

function arrayOf(text: string, { items }: Form): unknown[] {
  if (text.trim().startsWith('[')) return jsonOf(text) as unknown[]
  const form = items ?? { type: 'string' }
  if (text === '') return []
  // Objects have commas of their own: one for each flag.
  return form.type === 'object' ? [valueOf(text, form)] : text.split(/[,;]/).map((one) => valueOf(one.trim(), form))
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new ValueError(`is not valid JSON: ${(error as Error).message}`, { cause: error })
  }
}

/** A value without a form: JSON if it is some, else text. */
export function looseValueOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
