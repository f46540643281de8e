import { type Doc, isPlainObject } from '../values/bson.ts'
import type { Index } from '../storage/catalog.ts'
import { CommandError } from '../errors.ts'
import { encodeKey } from '../values/key-encoding.ts'
import { isArrayIndex, MISSING, ownValue } from '../values/paths.ts'

/** The element that the next part of a path names by its place in an array, and what lies at the end from there. */
type Positional = { element: unknown; reached: Reached }

/** A value, or an array on the way to it, and what is left of the path. */
type Reached = { value: unknown; rest: readonly string[] }

/** One field of the index on the way to its values. Without a rest it has arrived. */
type Field = Reached & { positional?: Positional | undefined }

const NOWHERE: Reached = { value: MISSING, rest: [] }

const member = (container: unknown, part: string): unknown => {
  if (isPlainObject(container)) return ownValue(container, part)
  if (!Array.isArray(container) || !isArrayIndex(part)) return MISSING
  return Number(part) < container.length ? container[Number(part)] : MISSING
}

/** Follows a path to its end, or to the first array on the way. */
const walk = (container: unknown, path: readonly string[]): Reached => {
  let [value, rest] = [container, path]
  do {
    value = member(value, rest[0] as string)
    rest = rest.slice(1)
    if (value === MISSING) return NOWHERE
  } while (rest.length > 0 && isPlainObject(value))
  return rest.length === 0 || Array.isArray(value) ? { value, rest } : NOWHERE
}

const step = (field: Field, object: unknown): Reached => {
  const isHere = isPlainObject(object) && Object.hasOwn(object, field.rest[0] as string)
  if (isHere && field.positional)
    throw new CommandError(
      16746,
      `Ambiguous field name found in array (do not use numeric field names in embedded elements in an array), field: '${field.rest[0]}'`,
    )
  if (isHere) return walk(object, field.rest)
  return field.positional?.reached ?? NOWHERE
}

/** The one value whose key is that of undefined; an undefined value itself counts as null, as for a query. */
const EMPTY_ARRAY = Symbol('empty array')

const keyOf = (value: unknown): unknown =>
  value === EMPTY_ARRAY ? undefined : value === MISSING || value === undefined ? null : value

type Found = { rows: unknown[][]; multikey: boolean }

/** The one array that these fields go through. */
const commonArray = (reached: readonly (Reached | undefined)[]): unknown[] | undefined => {
  let array: unknown[] | undefined
  for (const found of reached) {
    if (!Array.isArray(found?.value)) continue
    if (array !== undefined && array !== found.value) throw new CommandError(171, 'cannot index parallel arrays')
    array = found.value as unknown[]
  }
  return array
}

const positionalOf = (array: unknown[], rest: readonly string[]): Positional | undefined => {
  const element = rest.length === 0 ? MISSING : member(array, rest[0] as string)
  return element === MISSING ? undefined : { element, reached: walk(array, rest) }
}

/**
 * Adds the rows of values that the fields have from an object on: one for each element of the array that they go
 * through, of which there may be one at a time. A number in a path names a field, or else an element by its place; an
 * array at the end of a path whose elements are keys already, or that was named by its place, is a value like any
 * other. As BtreeKeyGenerator of MongoDB does it.
 */
const expand = (fields: readonly Field[], object: unknown, found: Found): void => {
  const reached = fields.map((field) => (field.rest.length === 0 ? undefined : step(field, object)))
  const array = commonArray(reached)
  const now = fields.map((field, i): Field => reached[i] ?? field)
  if (array === undefined) {
    found.rows.push(now.map(({ value }) => value))
    return
  }
  found.multikey = true
  const isNested = fields.some(({ positional }, i) => reached[i] && Array.isArray(positional?.element))
  const isWhole = isNested && array.length > 0
  const inArray = reached.map((one) => one?.value === array)
  const places = now.map(({ rest }, i) => (inArray[i] ? positionalOf(array, rest) : undefined))
  const elements: unknown[] = array.length === 0 ? [EMPTY_ARRAY] : array
  for (const element of elements) {
    const next = now.map((field, i): Field => {
      if (!inArray[i]) return field
      const isArrived = field.rest.length === 0
      return { value: isArrived && !isWhole ? element : array, rest: field.rest, positional: places[i] }
    })
    expand(next, element, found)
  }
}

const rowsOf = ({ paths }: Index, doc: Doc): Found => {
  const found: Found = { rows: [], multikey: false }
  const fields = paths.map((path): Field => ({ value: MISSING, rest: path.split('.') }))
  expand(fields, doc, found)
  return found
}

/** The keys of a document in an index, each once, and whether an array made them. */
export const indexKeys = (index: Index, doc: Doc): { keys: Buffer[]; multikey: boolean } => {
  if (index.partial && !index.partial.test(doc)) return { keys: [], multikey: false }
  const found = rowsOf(index, doc)
  const rows = index.sparse ? found.rows.filter((row) => row.some((value) => value !== MISSING)) : found.rows
  const keys = new Map<string, Buffer>()
  for (const row of rows) {
    const key = encodeKey(row.map(keyOf), index.directions)
    if (found.multikey) keys.set(key.toString('latin1'), key)
    else return { keys: [key], multikey: false }
  }
  return { keys: [...keys.values()], multikey: found.multikey }
}

/** The values that the index has of a document, for the message of a duplicate key. */
export const keyValue = (index: Index, doc: Doc, key: Buffer): Doc => {
  const found = rowsOf(index, doc)
  const plain = found.rows.map((row) => row.map(keyOf))
  const row = plain.find((values) => encodeKey(values, index.directions).equals(key)) ?? plain[0] ?? []
  return Object.fromEntries(index.paths.map((path, i) => [path, row[i]]))
}
