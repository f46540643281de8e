import { type Doc, isPlainObject, setField } from '../values/bson.ts'
import { badValue, CommandError } from '../errors.ts'
import type { Test } from '../query/matcher.ts'
import { MISSING, ownValue } from '../values/paths.ts'
import { shellText } from '../values/shell-text.ts'

/** Context of an update beside the document: the array place matched by its query, and the array filters by name. */
export type UpdateContext = {
  arrayIndex: number | undefined
  filters: Map<string, Test>
  inserting: boolean
  now: Date
}

/** One field of an object or element of an array that an operator works on; `place` is its path with all numbers. */
export type Slot = { container: Doc | unknown[]; key: string; path: string; place: string }

/** An update may not make an array much longer than it is by naming a far element. */
const MAX_PADDING = 1_500_000

export const getSlot = ({ container, key }: Slot): unknown => {
  if (!Array.isArray(container)) return ownValue(container, key)
  return Number(key) < container.length ? container[Number(key)] : MISSING
}

export const setSlot = ({ container, key }: Slot, value: unknown): void => {
  if (!Array.isArray(container)) return setField(container, key, value)
  const index = Number(key)
  if (index - container.length > MAX_PADDING)
    throw new CommandError(2, `can't backfill more than ${MAX_PADDING} elements of an array`)
  while (container.length < index) container.push(null)
  container[index] = value
}

/** Removes a field; an element of an array becomes null, as MongoDB does it. */
export const removeSlot = (slot: Slot): void => {
  if (!Array.isArray(slot.container)) delete slot.container[slot.key]
  else if (getSlot(slot) !== MISSING) slot.container[Number(slot.key)] = null
}

/**
 * Treatment of a path without a field: `create` makes it and the objects on the way. Other operators do nothing, but
 * refuse a path on which no field can be made, unless they are `lenient`.
 */
export type Way = { create: boolean; lenient?: boolean }

type Descent = { parts: readonly string[]; way: Way; context: UpdateContext; visit: (slot: Slot) => void }

/** Checks that a part of a path stands for several elements: `$[]` or `$[name]`. */
export const isElements = (part: string | undefined): boolean =>
  part !== undefined && part.startsWith('$[') && part.endsWith(']')

/** Unlike a filter, an update takes a number with leading zeros as a place in an array. */
const isPlace = (part: string): boolean => /^\d+$/.test(part)

/** The elements that `$[]` or `$[name]` stands for. */
const selected = (array: unknown[], part: string, { context, parts }: Descent): number[] => {
  const places = [...array.keys()]
  if (part === '$[]') return places
  const name = part.slice(2, -1)
  const test = context.filters.get(name)
  if (!test) throw badValue(`No array filter found for identifier '${name}' in path '${parts.join('.')}'`)
  return places.filter((place) => test({ [name]: array[place] }))
}

const positionalKey = (part: string, context: UpdateContext): string => {
  if (part !== '$') return part
  if (context.arrayIndex === undefined)
    throw badValue('The positional operator did not find the match needed from the query.')
  return String(context.arrayIndex)
}

/** Below a field that is not there, neither `$` nor `$[]` has anything to stand for. */
const checkAbsent = ({ parts, context }: Descent, depth: number): void => {
  for (let at = depth; at < parts.length; at++) {
    if (isElements(parts[at]))
      throw badValue(
        `The path '${parts.slice(0, at).join('.')}' must exist in the document in order to apply array updates.`,
      )
    positionalKey(parts[at] as string, context)
  }
}

/** The path goes on below a value that cannot have such a field. */
const stop = (descent: Descent, value: unknown, depth: number, name: string): void => {
  const { parts, way } = descent
  if (isElements(parts[depth]))
    throw badValue(`Cannot apply array updates to non-array element ${name}: ${shellText(value)}`)
  checkAbsent(descent, depth)
  const part = parts[depth] as string
  if (way.create) throw new CommandError(28, `Cannot create field '${part}' in element {${name}: ${shellText(value)}}`)
  if (way.lenient) return
  throw new CommandError(
    28,
    `Cannot use the part (${part}) of (${parts.join('.')}) to traverse the element ({${name}: ${shellText(value)}})`,
  )
}

const descend = (descent: Descent, value: unknown, depth: number, above: string): void => {
  const part = descent.parts[depth] as string
  const name = above.slice(above.lastIndexOf('.') + 1)
  if (Array.isArray(value)) {
    if (isElements(part)) {
      for (const place of selected(value, part, descent)) follow(descent, value, String(place), depth, above)
      return
    }
    const key = positionalKey(part, descent.context)
    if (isPlace(key)) follow(descent, value, key, depth, above)
    else stop(descent, value, depth, name)
  } else if (isPlainObject(value) && !isElements(part))
    follow(descent, value, positionalKey(part, descent.context), depth, above)
  else stop(descent, value, depth, name)
}

const follow = (descent: Descent, container: Doc | unknown[], key: string, depth: number, above: string): void => {
  const { parts, way, visit } = descent
  const place = depth === 0 ? key : `${above}.${key}`
  const slot: Slot = { container, key, path: parts.slice(0, depth + 1).join('.'), place }
  if (depth === parts.length - 1) return visit(slot)
  let value = getSlot(slot)
  if (value === MISSING) {
    checkAbsent(descent, depth + 1)
    if (!way.create) return
    value = {}
    setSlot(slot, value)
  }
  descend(descent, value, depth + 1, place)
}

/** Visits the places that a path with `$`, `$[]` and `$[name]` names. @throws CommandError 2 or 28 for one it cannot go */
export const visitPath = (
  doc: Doc,
  parts: readonly string[],
  way: Way,
  context: UpdateContext,
  visit: (slot: Slot) => void,
): void => descend({ parts, way, context, visit }, doc, 0, '')

/** Refuses a path that no field can have. */
export const checkPath = (path: string): string[] => {
  if (path === '') throw new CommandError(56, 'An empty update path is not valid.')
  const parts = path.split('.')
  if (parts.includes(''))
    throw new CommandError(56, `The update path '${path}' contains an empty field name, which is not allowed.`)
  if (parts.filter((part) => part === '$').length > 1)
    throw badValue(`Too many positional (i.e. '$') elements found in path '${path}'`)
  if (parts[0] === '$')
    throw badValue(`Cannot have positional (i.e. '$') element in the first position in path '${path}'`)
  return parts
}
