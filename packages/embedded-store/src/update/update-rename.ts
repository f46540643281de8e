import { type Doc, isPlainObject } from '../values/bson.ts'
import { badValue } from '../errors.ts'
import { MISSING } from '../values/paths.ts'
import { shellText } from '../values/shell-text.ts'
import {
  checkPath,
  getSlot,
  isElements,
  removeSlot,
  setSlot,
  type Slot,
  type UpdateContext,
  visitPath,
} from './update-paths.ts'
import type { Step } from './update.ts'

/** Checks that an array lies above the field of a path. */
const leadsThroughArray = (doc: Doc, parts: readonly string[]): boolean => {
  let value: unknown = doc
  for (const part of parts) {
    if (Array.isArray(value)) return true
    value = isPlainObject(value) && Object.hasOwn(value, part) ? value[part] : MISSING
  }
  return false
}

const isDynamic = (part: string): boolean => part === '$' || isElements(part)

/** The path that a field is renamed to. @throws CommandError 2 or 56 for one that it cannot have */
const targetOf = (fromParts: readonly string[], target: unknown): string[] => {
  const from = fromParts.join('.')
  if (typeof target !== 'string')
    throw badValue(`The 'to' field for $rename must be a string: ${from}: ${shellText(target)}`)
  const parts = checkPath(target)
  if (from === target) throw badValue(`The source and target field for $rename must differ: ${from}: "${target}"`)
  if (`${from}.`.startsWith(`${target}.`) || `${target}.`.startsWith(`${from}.`))
    throw badValue(`The source and target field for $rename must not be on the same path: ${from}: "${target}"`)
  if (fromParts.some(isDynamic)) throw badValue(`The source field for $rename may not be dynamic: ${from}`)
  if (parts.some(isDynamic)) throw badValue(`The destination field for $rename may not be dynamic: ${target}`)
  return parts
}

/** The slot that is renamed; undefined when there is none. @throws CommandError 28 where the path meets a value */
const sourceOf = (doc: Doc, parts: readonly string[], context: UpdateContext): Slot | undefined => {
  let source: Slot | undefined
  visitPath(doc, parts, { create: false }, context, (found) => (source = found))
  return source && getSlot(source) === MISSING ? undefined : source
}

/** The step of `$rename` for one field, at the path it is renamed to. */
export const rename = (fromParts: readonly string[], target: unknown): Step => {
  const parts = targetOf(fromParts, target)
  const [from, path] = [fromParts.join('.'), parts.join('.')]
  const when = (doc: Doc, context: UpdateContext): boolean => {
    if (!sourceOf(doc, fromParts, context)) return false
    if (leadsThroughArray(doc, fromParts)) throw badValue(`The source field cannot be an array element, '${from}'`)
    if (leadsThroughArray(doc, parts)) throw badValue(`The destination field cannot be an array element, '${path}'`)
    return true
  }
  const move = (slot: Slot, doc: Doc, context: UpdateContext): void => {
    const source = sourceOf(doc, fromParts, context)
    if (!source) return
    setSlot(slot, getSlot(source))
    removeSlot(source)
  }
  return { path, parts, operation: { create: true, apply: move }, when }
}
