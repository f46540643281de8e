import { manifest } from './manifest.ts'
import type { Form, Unit } from './types.ts'

let known: Map<string, Unit | undefined> | undefined

/**
 * The unit of a number of which only the name is known, such as in the result of any operation: the one that all fields
 * of this name have.
 */
export function unitOfName(name: string): Unit | undefined {
  known ??= namedUnits()
  return known.get(name)
}

function namedUnits(): Map<string, Unit | undefined> {
  const units = new Map<string, Unit | undefined>()
  const add = (name: string, { type, unit, fields, items }: Form) => {
    if (type === 'integer' || type === 'number')
      units.set(name, !units.has(name) || units.get(name) === unit ? unit : undefined)
    for (const [inner, form] of Object.entries({ ...fields, ...items?.fields })) add(inner, form)
  }
  for (const { params, fields } of manifest()) {
    for (const param of params) add(param.name, param)
    for (const [name, form] of Object.entries(fields ?? {})) add(name, form)
  }
  return units
}
