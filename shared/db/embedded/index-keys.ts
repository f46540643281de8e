import { type Doc, isPlainObject } from './bson.ts'
import type { Index } from './catalog.ts'
import { CommandError } from './errors.ts'
import { encodeKey } from './key-encoding.ts'
import { isArrayIndex, MISSING, ownValue } from './paths.ts'

/** Where the search for one field's value stands: a value and what is left of the path. */
type Place = { value: unknown; rest: string[] }

const advance = ({ value, rest }: Place): Place => {
  let current = value
  let depth = 0
  while (depth < rest.length) {
    const part = rest[depth] as string
    if (isPlainObject(current)) current = ownValue(current, part)
    else if (Array.isArray(current) && isArrayIndex(part)) current = part in current ? current[Number(part)] : MISSING
    else if (Array.isArray(current)) break
    else current = MISSING
    if (current === MISSING) return { value: MISSING, rest: [] }
    depth++
  }
  return { value: current, rest: rest.slice(depth) }
}

const elementPlace = (place: Place, element: unknown): Place => {
  if (place.rest.length === 0) return { value: element, rest: [] }
  return isPlainObject(element) ? { value: element, rest: place.rest } : { value: MISSING, rest: [] }
}

/** The one value whose key is that of undefined; an undefined value itself counts as null, as for a query. */
const EMPTY_ARRAY = Symbol('empty array')

const keyOf = (value: unknown): unknown =>
  value === EMPTY_ARRAY ? undefined : value === MISSING || value === undefined ? null : value

type Found = { rows: unknown[][]; multikey: boolean }

/** An array at the end of a path whose elements are keys already is a value like any other. */
const expand = (places: Place[], isFinal: readonly boolean[], found: Found): void => {
  const reached = places.map((place, i) => (isFinal[i] ? place : advance(place)))
  let array: unknown[] | undefined
  for (const [i, { value }] of reached.entries()) {
    if (isFinal[i] || !Array.isArray(value)) continue
    if (array !== undefined && array !== value) throw new CommandError(171, 'cannot index parallel arrays')
    array = value as unknown[]
  }
  if (array === undefined) {
    found.rows.push(reached.map(({ value }) => value))
    return
  }
  found.multikey = true
  const inArray = reached.map(({ value }, i) => !isFinal[i] && value === array)
  const elements: unknown[] = array.length === 0 ? [EMPTY_ARRAY] : array
  for (const element of elements) {
    const next = reached.map((place, i) => (inArray[i] ? elementPlace(place, element) : place))
    const final = reached.map((place, i) => isFinal[i] === true || !inArray[i] || place.rest.length === 0)
    expand(next, final, found)
  }
}

/** The keys of a document in an index, each once, and whether an array made them. */
export const indexKeys = (index: Index, doc: Doc): { keys: Buffer[]; multikey: boolean } => {
  if (index.partial && !index.partial.test(doc)) return { keys: [], multikey: false }
  const found: Found = { rows: [], multikey: false }
  expand(
    index.paths.map((path) => ({ value: doc, rest: path.split('.') })),
    index.paths.map(() => false),
    found,
  )
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
  const found: Found = { rows: [], multikey: false }
  expand(
    index.paths.map((path) => ({ value: doc, rest: path.split('.') })),
    index.paths.map(() => false),
    found,
  )
  const plain = found.rows.map((row) => row.map(keyOf))
  const row = plain.find((values) => encodeKey(values, index.directions).equals(key)) ?? plain[0] ?? []
  return Object.fromEntries(index.paths.map((path, i) => [path, row[i]]))
}
