import { bsonType, isPlainObject, toNumber } from '../values/bson.ts'
import type { BSONRegExp } from 'bson'
import { encodeValue, invert, keyType, KeyType, successor } from '../values/key-encoding.ts'
import type { Filter, Predicate } from '../query/matcher.ts'

/** Keys from `lo` on and below `hi`, in the order of an ascending field. */
export type Interval = { lo: Buffer; hi: Buffer }

/** The intervals that hold every value a condition accepts; `exact` says that they hold no other. */
type Bounds = { intervals: Interval[]; exact: boolean; points: boolean }

const byte = (type: number): Buffer => Buffer.from([type])

const point = (key: Buffer): Interval => ({ lo: key, hi: successor(key) })

/** An empty array has the key of undefined and may hold a missing field further down the path. */
const nullBounds = (multikey: boolean): Bounds => ({
  intervals: multikey ? [point(byte(KeyType.undefined)), point(byte(KeyType.null))] : [point(byte(KeyType.null))],
  exact: true,
  points: true,
})

/** Arrays are indexed by their elements and regular expressions match strings: no interval holds what they match. */
const isPointType = (value: unknown): boolean => !Array.isArray(value) && bsonType(value) !== 'BSONRegExp'

const pointBounds = (value: unknown, multikey: boolean): Bounds | undefined => {
  if (value === null || value === undefined) return nullBounds(multikey)
  if (!isPointType(value)) return undefined
  return { intervals: [point(encodeValue(value))], exact: true, points: true }
}

const byLow = (a: Interval, b: Interval): number => Buffer.compare(a.lo, b.lo)

/** Sorts intervals and joins those that overlap. */
const join = (intervals: Interval[]): Interval[] => {
  const joined: Interval[] = []
  for (const interval of intervals.toSorted(byLow)) {
    const last = joined.at(-1)
    if (last && Buffer.compare(interval.lo, last.hi) < 0) {
      if (Buffer.compare(interval.hi, last.hi) > 0) last.hi = interval.hi
    } else joined.push({ ...interval })
  }
  return joined
}

const union = (all: (Bounds | undefined)[], exact: boolean): Bounds | undefined => {
  const known = all.filter((bounds) => bounds !== undefined)
  if (known.length !== all.length) return undefined
  return {
    intervals: join(known.flatMap(({ intervals }) => intervals)),
    exact: exact && known.every((bounds) => bounds.exact),
    points: known.every(({ points }) => points),
  }
}

const intersect = (a: Bounds, b: Bounds): Bounds => {
  const intervals: Interval[] = []
  for (const x of a.intervals)
    for (const y of b.intervals) {
      const lo = Buffer.compare(x.lo, y.lo) >= 0 ? x.lo : y.lo
      const hi = Buffer.compare(x.hi, y.hi) <= 0 ? x.hi : y.hi
      if (Buffer.compare(lo, hi) < 0) intervals.push({ lo, hi })
    }
  return { intervals, exact: a.exact && b.exact, points: a.points || b.points }
}

const rangeBounds = (operator: string, value: unknown, multikey: boolean): Bounds | undefined => {
  const type = keyType(value)
  if (type === KeyType.null || type === KeyType.undefined)
    return operator.endsWith('e') ? nullBounds(multikey) : { intervals: [], exact: true, points: true }
  if (!isPointType(value) || type === KeyType.minKey || type === KeyType.maxKey) return undefined
  if (type === KeyType.number && Number.isNaN(toNumber(value))) return undefined
  return rangeInterval(operator, type, encodeValue(value))
}

const rangeInterval = (operator: string, type: number, key: Buffer): Bounds => {
  // NaN is the lowest number in the index, but no range contains it
  const lowest = type === KeyType.number ? encodeValue(-Infinity) : byte(type)
  const lo = operator === '$gt' ? successor(key) : operator === '$gte' ? key : lowest
  const hi = operator === '$lt' ? key : operator === '$lte' ? successor(key) : byte(type + 1)
  return { intervals: Buffer.compare(lo, hi) < 0 ? [{ lo, hi }] : [], exact: true, points: false }
}

/** The literal text that every match of a pattern begins with: `^web-[0-9]` begins with `web-`. */
const literalPrefix = ({ pattern, options }: BSONRegExp): string => {
  if (!pattern.startsWith('^') || /[imx]/.test(options) || pattern.includes('|')) return ''
  const literal = /^\^((?:[\w\- :/@,;=%&#!"'~]|\\[^\w])*)/.exec(pattern)?.[1] ?? ''
  const optional = /^[*?{]/.test(pattern.slice(1 + literal.length))
  const characters = literal.replaceAll(/\\(.)/g, '$1')
  return optional ? characters.slice(0, -1) : characters
}

const regexBounds = (regex: BSONRegExp): Bounds | undefined => {
  const prefix = literalPrefix(regex)
  if (prefix === '' || /[^\x20-\x7e]/.test(prefix)) return undefined
  const lo = Buffer.concat([byte(KeyType.string), Buffer.from(prefix)])
  // the pattern itself, stored as a regular expression, matches too
  const stored = point(encodeValue(regex))
  return { intervals: [{ lo, hi: successor(lo) }, stored], exact: false, points: false }
}

const inBounds = (value: unknown, multikey: boolean): Bounds | undefined => {
  if (!Array.isArray(value)) return undefined
  return union(
    (value as unknown[]).map((wanted) => pointBounds(wanted, multikey)),
    true,
  )
}

/** The bounds of one predicate, or undefined when an index does not help. */
const predicateBounds = ({ operator, value }: Predicate, multikey: boolean): Bounds | undefined => {
  switch (operator) {
    case '$eq':
      return pointBounds(value, multikey)
    case '$in':
      return inBounds(value, multikey)
    case '$gt':
    case '$gte':
    case '$lt':
    case '$lte':
      return rangeBounds(operator, value, multikey)
    case '$regex':
      return regexBounds(value as BSONRegExp)
    case '$all': {
      const first: unknown = Array.isArray(value)
        ? value.find((wanted) => isPointType(wanted) && !isPlainObject(wanted))
        : undefined
      const bounds = first === undefined ? undefined : pointBounds(first, multikey)
      return bounds && { ...bounds, exact: false }
    }
    default:
      return undefined
  }
}

const rank = ({ points, intervals }: Bounds): number => (points ? (intervals.length <= 1 ? 0 : 1) : 2)

/** The bounds of one field's values; `used` are the predicates that the bounds replace if they are exact. */
export type FieldBounds = Bounds & { used: Predicate[] }

/**
 * The bounds of a field in a filter. With several keys per document (multikey) two conditions may be met by different
 * elements of an array, so only one of them, the narrowest kind, bounds the scan.
 */
export const fieldBounds = (filter: Filter, path: string, multikey: boolean): FieldBounds | undefined => {
  const found: FieldBounds[] = []
  for (const predicate of filter.predicates) {
    const bounds = predicate.path === path ? predicateBounds(predicate, multikey) : undefined
    const exact = bounds !== undefined && bounds.exact && !multikey
    if (bounds) found.push({ ...bounds, exact, used: exact ? [predicate] : [] })
  }
  for (const branches of filter.unions) {
    const bounds = union(
      branches.map((branch) => fieldBounds(branch, path, multikey)),
      false,
    )
    if (bounds) found.push({ ...bounds, used: [] })
  }
  const [first, ...others] = found.toSorted((a, b) => rank(a) - rank(b))
  if (first === undefined || multikey) return first
  let result: Bounds = first
  for (const other of others) result = intersect(result, other)
  return { ...result, used: found.flatMap(({ used }) => used) }
}

/** The same values in the order of a descending field. */
export const descending = ({ lo, hi }: Interval): Interval => ({ lo: successor(invert(hi)), hi: successor(invert(lo)) })
