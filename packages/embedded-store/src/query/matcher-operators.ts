import type { BSONRegExp } from 'bson'
import { bsonType, isPlainObject, toNumber, typeName } from '../values/bson.ts'
import { compareValues, equalValues } from '../values/compare.ts'
import { badValue, failedToParse } from '../errors.ts'
import { keyType, KeyType } from '../values/key-encoding.ts'
import { modTest } from './matcher-numbers.ts'
import { MISSING, type ValueTest } from '../values/paths.ts'
import { toRegExp } from './regex.ts'
import { guardedTest } from './regex-guard.ts'

/**
 * The evaluation of an operator on a path: with or without the elements of an array, and negated if no value may pass
 * its test.
 */
export type FieldTest = { test: ValueTest; expandLeaf: boolean; negated: boolean }

const positive = (test: ValueTest, expandLeaf = true): FieldTest => ({ test, expandLeaf, negated: false })
const negative = (test: ValueTest): FieldTest => ({ test, expandLeaf: true, negated: true })

export const isRegex = (value: unknown): value is BSONRegExp => bsonType(value) === 'BSONRegExp'

const matchesRegex = (source: BSONRegExp): ValueTest => {
  const { pattern, options } = source
  const test = guardedTest(toRegExp(pattern, options), pattern, options)
  return (value) => (typeof value === 'string' ? test(value) : isRegex(value) && equalValues(value, source))
}

/** The test of `field: value` and `$eq`. */
const equalsTest = (wanted: unknown): ValueTest => {
  if (wanted === null || wanted === undefined)
    return (value) => value === MISSING || value === null || value === undefined
  return (value) => value !== MISSING && equalValues(value, wanted)
}

const orderTest = (wanted: unknown, accepts: (order: number) => boolean): ValueTest => {
  if (isRegex(wanted)) throw badValue("Can't have RegEx as arg to predicate over field.")
  const type = keyType(wanted)
  if (type === KeyType.null || type === KeyType.undefined)
    return (value) => (value === MISSING || value === null || value === undefined) && accepts(0)
  const isNan = Number.isNaN(toNumber(wanted) ?? 0)
  const acrossTypes = type === KeyType.minKey || type === KeyType.maxKey
  return (value) => {
    if (value === MISSING) return acrossTypes && accepts(type === KeyType.minKey ? 1 : -1)
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
    else if (isRegex(wanted)) tests.push(matchesRegex(wanted))
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
  12: 'dbPointer',
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
  if (names.size === 0) throw failedToParse('$type must match at least one type')
  return (value) => value !== MISSING && names.has(typeName(value))
}

const sizeTest = (wanted: unknown): ValueTest => {
  const size = toNumber(wanted)
  if (size === undefined || !Number.isInteger(size) || size < 0)
    throw badValue(`Failed to parse $size. Expected a non-negative integer`)
  return (value) => Array.isArray(value) && value.length === size
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
}

/** The test of `field: /regex/` and `$regex`. */
export const regexTest = (source: BSONRegExp): FieldTest => positive(matchesRegex(source))
