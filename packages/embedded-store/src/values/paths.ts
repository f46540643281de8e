import { type Doc, isPlainObject } from './bson.ts'

/** Stands for a field that is not there, which is not the same as one that is null. */
export const MISSING: unique symbol = Symbol('missing')

/** Result of a match for the positional operator: the matched place in the outermost array. */
export type MatchContext = { arrayIndex?: number }

export type ValueTest = (value: unknown) => boolean

export const isArrayIndex = (part: string): boolean => /^(0|[1-9]\d*)$/.test(part)

export const ownValue = (doc: Doc, key: string): unknown => (Object.hasOwn(doc, key) ? doc[key] : MISSING)

type Walk = { parts: readonly string[]; expandLeaf: boolean; test: ValueTest; context: MatchContext | undefined }

const remember = (walk: Walk, index: number | undefined): true => {
  if (walk.context && index !== undefined) walk.context.arrayIndex = index
  return true
}

const anyLeaf = (walk: Walk, value: unknown, index: number | undefined): boolean => {
  if (walk.expandLeaf && Array.isArray(value)) {
    const found = value.findIndex((element) => walk.test(element))
    if (found >= 0) return remember(walk, index ?? found)
  }
  return walk.test(value) && remember(walk, index)
}

/**
 * An array on the way: its elements that are objects are entered, and where the path goes on with a number also the
 * element at that place, which at the end of the path is taken as it is, even if it is an array.
 */
const anyInArray = (walk: Walk, array: unknown[], depth: number, index: number | undefined): boolean => {
  const part = walk.parts[depth] as string
  const place = isArrayIndex(part) ? Number(part) : -1
  for (let i = 0; i < array.length; i++) {
    const element: unknown = array[i]
    const isObject = isPlainObject(element)
    if (isObject && anyFrom(walk, element, depth, index ?? i)) return true
    if (i !== place) continue
    if (depth === walk.parts.length - 1) {
      if (walk.test(element)) return remember(walk, index)
    } else if ((isObject || Array.isArray(element)) && anyFrom(walk, element, depth + 1, index)) return true
  }
  return false
}

const anyFrom = (walk: Walk, value: unknown, depth: number, index: number | undefined): boolean => {
  if (depth === walk.parts.length) return anyLeaf(walk, value, index)
  if (Array.isArray(value)) return anyInArray(walk, value, depth, index)
  if (!isPlainObject(value)) return walk.test(MISSING) && remember(walk, index)
  const next = ownValue(value, walk.parts[depth] as string)
  if (next === MISSING) return walk.test(MISSING) && remember(walk, index)
  return anyFrom(walk, next, depth + 1, index)
}

/**
 * Checks that any value on a dotted path passes a test. Arrays on the way are entered. With `expandLeaf` an array at
 * the end is entered too, and tested as a whole after its elements.
 */
export const anyAtPath = (
  doc: Doc,
  parts: readonly string[],
  expandLeaf: boolean,
  test: ValueTest,
  context?: MatchContext,
): boolean => anyFrom({ parts, expandLeaf, test, context }, doc, 0, undefined)

/** All values that a dotted path reaches, the elements of an array at its end in place of the array. */
export const valuesAtPath = (doc: Doc, path: string): unknown[] => {
  const values: unknown[] = []
  anyAtPath(doc, path.split('.'), false, (value) => {
    if (Array.isArray(value)) values.push(...(value as unknown[]))
    else if (value !== MISSING) values.push(value)
    return false
  })
  return values
}
