import { type Doc, isPlainObject, setField } from './bson.ts'
import { badValue, CommandError } from './errors.ts'
import type { Test } from './matcher.ts'
import { isArrayIndex, MISSING, ownValue } from './paths.ts'
import { shellText } from './shell-text.ts'

/** What an update knows beside the document: the array place its query matched, and the array filters by name. */
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

type Descent = { parts: readonly string[]; create: boolean; context: UpdateContext; visit: (slot: Slot) => void }

const cannotCreate = (part: string, name: string, value: unknown): CommandError =>
  new CommandError(28, `Cannot create field '${part}' in element {${name}: ${shellText(value)}}`)

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

const descend = (descent: Descent, container: Doc | unknown[], depth: number, above: string): void => {
  const { parts, create, context } = descent
  const part = parts[depth] as string
  const name = above.slice(above.lastIndexOf('.') + 1)
  if (part.startsWith('$[')) {
    if (!Array.isArray(container))
      throw badValue(`Cannot apply array updates to non-array element ${name}: ${shellText(container)}`)
    for (const place of selected(container, part, descent)) follow(descent, container, String(place), depth, above)
    return
  }
  const key = positionalKey(part, context)
  if (Array.isArray(container) && !isArrayIndex(key)) {
    if (create) throw cannotCreate(key, name, container)
    return
  }
  follow(descent, container, key, depth, above)
}

const follow = (descent: Descent, container: Doc | unknown[], key: string, depth: number, above: string): void => {
  const { parts, create, visit } = descent
  const place = depth === 0 ? key : `${above}.${key}`
  const slot: Slot = { container, key, path: parts.slice(0, depth + 1).join('.'), place }
  if (depth === parts.length - 1) return visit(slot)
  const next = parts[depth + 1] as string
  let value = getSlot(slot)
  if (value === MISSING) {
    if (next.startsWith('$['))
      throw badValue(`The path '${slot.path}' must exist in the document in order to apply array updates.`)
    if (!create) return
    value = {}
    setSlot(slot, value)
  }
  if (!Array.isArray(value) && !isPlainObject(value)) {
    if (next.startsWith('$['))
      throw badValue(`Cannot apply array updates to non-array element ${key}: ${shellText(value)}`)
    if (create) throw cannotCreate(next, key, value)
    return
  }
  descend(descent, value as Doc | unknown[], depth + 1, place)
}

/** Visits the places that a path with `$`, `$[]` and `$[name]` names; `create` makes objects on the way. */
export const visitPath = (
  doc: Doc,
  parts: readonly string[],
  create: boolean,
  context: UpdateContext,
  visit: (slot: Slot) => void,
): void => descend({ parts, create, context, visit }, doc, 0, '')

/** Refuses a path that no field can have. */
export const checkPath = (path: string): string[] => {
  const parts = path.split('.')
  if (parts.includes(''))
    throw new CommandError(56, `The update path '${path}' contains an empty field name, which is not allowed.`)
  if (parts[0]?.startsWith('$') && !['$id', '$ref', '$db'].includes(parts[0]))
    throw new CommandError(
      52,
      `The dollar ($) prefixed field '${parts[0]}' in '${path}' is not allowed in the context of an update's replacement document. Consider using an aggregation pipeline with $replaceWith.`,
    )
  for (const part of parts.slice(1))
    if (part.startsWith('$') && !/^\$($|\[\]$|\[[a-z][a-zA-Z0-9]*\]$|id$|ref$|db$)/.test(part))
      throw new CommandError(52, `The dollar ($) prefixed field '${part}' in '${path}' is not valid for storage.`)
  if (parts.filter((part) => part === '$').length > 1)
    throw badValue(`Too many positional (i.e. '$') elements found in path '${path}'`)
  return parts
}
