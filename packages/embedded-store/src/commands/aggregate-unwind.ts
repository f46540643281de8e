import { Long } from 'bson'
import { type Doc, isPlainObject, setField, typeName } from '../values/bson.ts'
import { CommandError } from '../errors.ts'
import { fieldPath } from '../values/field-path.ts'
import type { Stage } from './aggregate-environment.ts'
import { withField } from './with-field.ts'

type Unwind = { parts: string[]; indexField: string | undefined; keepsEmpty: boolean }

const optionsOf = (argument: unknown): Doc => {
  if (typeof argument === 'string') return { path: argument }
  if (isPlainObject(argument)) return argument
  throw new CommandError(
    15981,
    `expected either a string or an object as specification for $unwind stage, got ${typeName(argument)}`,
  )
}

const pathOf = (path: unknown): string[] => {
  if (path === undefined) throw new CommandError(28812, 'no path specified to $unwind stage')
  if (typeof path !== 'string')
    throw new CommandError(28808, `expected a string as the path for $unwind stage, got ${typeName(path)}`)
  if (!path.startsWith('$'))
    throw new CommandError(28818, `path option to $unwind stage should be prefixed with a '$': ${path}`)
  return fieldPath(path.slice(1))
}

const indexFieldOf = (name: unknown): string | undefined => {
  if (name === undefined) return undefined
  if (typeof name !== 'string' || name === '')
    throw new CommandError(
      28810,
      `expected a non-empty string for the includeArrayIndex option to $unwind stage, got ${typeName(name)}`,
    )
  if (name.startsWith('$'))
    throw new CommandError(
      28822,
      `includeArrayIndex option to $unwind stage should not be prefixed with a '$': ${name}`,
    )
  return fieldPath(name).join('.')
}

const parse = (argument: unknown): Unwind => {
  const { path, includeArrayIndex, preserveNullAndEmptyArrays: keepsEmpty = false, ...others } = optionsOf(argument)
  const [unknown] = Object.keys(others)
  if (unknown !== undefined) throw new CommandError(28811, `unrecognized option to $unwind stage: ${unknown}`)
  if (typeof keepsEmpty !== 'boolean')
    throw new CommandError(
      28809,
      `expected a boolean for the preserveNullAndEmptyArrays option to $unwind stage, got ${typeName(keepsEmpty)}`,
    )
  return { parts: pathOf(path), indexField: indexFieldOf(includeArrayIndex), keepsEmpty }
}

const valueAt = (doc: Doc, parts: readonly string[]): unknown => {
  let value: unknown = doc
  for (const part of parts) value = isPlainObject(value) && Object.hasOwn(value, part) ? value[part] : undefined
  return value
}

const withoutField = (doc: Doc, [name = '', ...rest]: readonly string[]): Doc => {
  const copy = { ...doc }
  if (rest.length === 0) delete copy[name]
  else setField(copy, name, withoutField(doc[name] as Doc, rest))
  return copy
}

/** `$unwind`: a document for each element of an array; what is no array counts as one element. */
export const unwind = (argument: unknown): Stage => {
  const { parts, indexField, keepsEmpty } = parse(argument)
  const path = parts.join('.')
  // MongoDB counts in int64
  const indexed = (doc: Doc, index: number | null): Doc =>
    indexField === undefined ? doc : withField(doc, indexField, index === null ? null : Long.fromNumber(index))

  function* unwound(doc: Doc): Generator<Doc> {
    const value = valueAt(doc, parts)
    if (Array.isArray(value) && value.length > 0) {
      for (const [i, element] of value.entries()) yield indexed(withField(doc, path, element), i)
    } else if (Array.isArray(value)) {
      if (keepsEmpty) yield indexed(withoutField(doc, parts), null)
    } else if (keepsEmpty || (value !== undefined && value !== null)) yield indexed(doc, null)
  }

  return function* (input) {
    for (const doc of input)
      if (doc === null) yield null
      else yield* unwound(doc)
  }
}
