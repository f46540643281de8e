import { type BSONRegExp, Long } from 'bson'
import { bsonType, isPlainObject, toNumber, typeName } from './bson.ts'
import { compareValues, equalValues } from './compare.ts'
import { badValue, notImplemented } from './errors.ts'
import { keyType, KeyType } from './key-encoding.ts'
import { MISSING, type ValueTest } from './paths.ts'

/** How an operator looks at a path: at an array's elements too or not, and whether no value may pass its test. */
export type FieldTest = { test: ValueTest; expandLeaf: boolean; negated: boolean }

const positive = (test: ValueTest, expandLeaf = true): FieldTest => ({ test, expandLeaf, negated: false })
const negative = (test: ValueTest): FieldTest => ({ test, expandLeaf: true, negated: true })

export const isRegex = (value: unknown): value is BSONRegExp => bsonType(value) === 'BSONRegExp'

/** A JavaScript RegExp of BSON's; the options are MongoDB's (i, m, s, x, u). */
const toRegExp = (pattern: string, options: string): RegExp => {
  if (/[^imsu]/.test(options))
    throw options.includes('x')
      ? notImplemented('$regex option x')
      : badValue(`invalid flag in regex options: ${options}`)
  try {
    return new RegExp(pattern, options.includes('u') ? options : `${options}u`)
  } catch {
    try {
      return new RegExp(pattern, options.replace('u', ''))
    } catch (error) {
      throw badValue(`Regular expression is invalid: ${(error as Error).message}`)
    }
  }
}

const matchesRegex =
  (regex: RegExp, source: BSONRegExp): ValueTest =>
  (value) =>
    typeof value === 'string' ? regex.test(value) : isRegex(value) && equalValues(value, source)

/** The test of `field: value` and `$eq`. */
const equalsTest = (wanted: unknown): ValueTest => {
  if (wanted === null || wanted === undefined)
    return (value) => value === MISSING || value === null || value === undefined
  return (value) => value !== MISSING && equalValues(value, wanted)
}

const orderTest = (wanted: unknown, accepts: (order: number) => boolean): ValueTest => {
  const type = keyType(wanted)
  if (type === KeyType.null) return (value) => (value === MISSING || value === null) && accepts(0)
  const isNan = Number.isNaN(toNumber(wanted) ?? 0)
  const acrossTypes = type === KeyType.minKey || type === KeyType.maxKey
  return (value) => {
    if (value === MISSING) return false
    if (!acrossTypes && keyType(value) !== type) return false
    if (type === KeyType.number && Number.isNaN(toNumber(value)) !== isNan) return false
    return accepts(compareValues(value, wanted))
  }
}

const inTest = (list: unknown): ValueTest => {
  if (!Array.isArray(list)) throw badValue('$in needs an array')
  const strings = new Set<string>()
  const tests: ValueTest[] = []
  for (const wanted of list as unknown[]) {
    if (isPlainObject(wanted) && Object.keys(wanted)[0]?.startsWith('$')) throw badValue('cannot nest $ under $in')
    if (typeof wanted === 'string') strings.add(wanted)
    else if (isRegex(wanted)) tests.push(matchesRegex(toRegExp(wanted.pattern, wanted.options), wanted))
    else tests.push(equalsTest(wanted))
  }
  return (value) => (typeof value === 'string' && strings.has(value)) || tests.some((test) => test(value))
}

const TYPE_CODES: Record<number, string> = {
  [-1]: 'minKey',
  1: 'double',
  2: 'string',
  3: 'object',
  4: 'array',
  5: 'binData',
  6: 'undefined',
  7: 'objectId',
  8: 'bool',
  9: 'date',
  10: 'null',
  11: 'regex',
  13: 'javascript',
  14: 'symbol',
  15: 'javascriptWithScope',
  16: 'int',
  17: 'timestamp',
  18: 'long',
  19: 'decimal',
  127: 'maxKey',
}
const TYPE_NAMES = new Set(Object.values(TYPE_CODES))
const NUMBER_TYPES = ['int', 'long', 'double', 'decimal']

const typeNames = (wanted: unknown): string[] => {
  if (wanted === 'number') return NUMBER_TYPES
  if (typeof wanted === 'string') {
    if (!TYPE_NAMES.has(wanted)) throw badValue(`Unknown type name alias: ${wanted}`)
    return [wanted]
  }
  const name = TYPE_CODES[toNumber(wanted) ?? Number.NaN]
  if (name === undefined) throw badValue(`Invalid numerical type code: ${String(wanted)}`)
  return [name]
}

const typeTest = (wanted: unknown): ValueTest => {
  const names = new Set((Array.isArray(wanted) ? (wanted as unknown[]) : [wanted]).flatMap(typeNames))
  if (names.size === 0) throw badValue('$type must match at least one type')
  return (value) => value !== MISSING && names.has(typeName(value))
}

const sizeTest = (wanted: unknown): ValueTest => {
  const size = toNumber(wanted)
  if (size === undefined || !Number.isInteger(size) || size < 0)
    throw badValue(`Failed to parse $size. Expected a non-negative integer`)
  return (value) => Array.isArray(value) && value.length === size
}

const modTest = (wanted: unknown): ValueTest => {
  const numbers = Array.isArray(wanted) ? (wanted as unknown[]).map(toNumber) : []
  const [divisor, remainder] = numbers
  if (numbers.length !== 2) throw badValue('malformed mod, needs to be an array of two numbers')
  if (divisor === undefined || remainder === undefined)
    throw badValue('malformed mod, divisor or remainder not a number')
  if (Math.trunc(divisor) === 0) throw badValue('divisor cannot be 0')
  return (value) => {
    const number = value === MISSING ? undefined : toNumber(value)
    return (
      number !== undefined &&
      Number.isFinite(number) &&
      Math.trunc(number) % Math.trunc(divisor) === Math.trunc(remainder)
    )
  }
}

/** The bits of a whole number, or undefined for anything that `$bits…` does not match. */
const bitsOf = (value: unknown): bigint | undefined => {
  if (value instanceof Long && bsonType(value) === 'Long') return value.toBigInt()
  const number = value === MISSING ? undefined : toNumber(value)
  return number !== undefined && Number.isSafeInteger(number) ? BigInt(number) : undefined
}

const maskOf = (wanted: unknown): bigint => {
  if (!Array.isArray(wanted)) {
    const mask = bitsOf(wanted)
    if (mask === undefined || mask < 0n)
      throw badValue('$bits operators take a non-negative number or an array of bit positions')
    return mask
  }
  let mask = 0n
  for (const position of wanted as unknown[]) {
    const bit = toNumber(position)
    if (bit === undefined || !Number.isInteger(bit) || bit < 0) throw badValue('bit positions must be integers >= 0')
    mask |= 1n << BigInt(Math.min(bit, 64))
  }
  return mask
}

const bitsTest = (wanted: unknown, accepts: (found: bigint, mask: bigint) => boolean): ValueTest => {
  const mask = maskOf(wanted)
  return (value) => {
    const bits = bitsOf(value)
    return bits !== undefined && accepts(bits & mask, mask)
  }
}

const existsTest = (wanted: unknown): FieldTest => {
  const exists = toNumber(wanted) === undefined ? wanted !== false && wanted !== null : toNumber(wanted) !== 0
  return { test: (value) => value !== MISSING, expandLeaf: false, negated: !exists }
}

/** The operators on one field that stand alone; `$not`, `$elemMatch`, `$all` and `$regex` are the matcher's. */
export const FIELD_OPERATORS: Record<string, (wanted: unknown) => FieldTest> = {
  $eq: (wanted) => positive(equalsTest(wanted)),
  $ne: (wanted) => {
    if (isRegex(wanted)) throw badValue("Can't have regex as arg to $ne.")
    return negative(equalsTest(wanted))
  },
  $gt: (wanted) => positive(orderTest(wanted, (order) => order > 0)),
  $gte: (wanted) => positive(orderTest(wanted, (order) => order >= 0)),
  $lt: (wanted) => positive(orderTest(wanted, (order) => order < 0)),
  $lte: (wanted) => positive(orderTest(wanted, (order) => order <= 0)),
  $in: (wanted) => positive(inTest(wanted)),
  $nin: (wanted) => {
    if (!Array.isArray(wanted)) throw badValue('$nin needs an array')
    return negative(inTest(wanted))
  },
  $exists: existsTest,
  $type: (wanted) => positive(typeTest(wanted)),
  $size: (wanted) => positive(sizeTest(wanted), false),
  $mod: (wanted) => positive(modTest(wanted)),
  $bitsAllSet: (wanted) => positive(bitsTest(wanted, (found, mask) => found === mask)),
  $bitsAllClear: (wanted) => positive(bitsTest(wanted, (found) => found === 0n)),
  $bitsAnySet: (wanted) => positive(bitsTest(wanted, (found) => found !== 0n)),
  $bitsAnyClear: (wanted) => positive(bitsTest(wanted, (found, mask) => found !== mask)),
}

/** The test of `field: /regex/` and `$regex`. */
export const regexTest = (source: BSONRegExp): FieldTest =>
  positive(matchesRegex(toRegExp(source.pattern, source.options), source))
