import { Double, Long, ObjectId } from 'bson'
import { bsonType } from './bson.ts'
import { encodeValue, keyType } from './key-encoding.ts'

/** Code units in the order of UTF-8 bytes: surrogates stand for code points above U+FFFF. */
const rank = (unit: number): number => (unit < 0xd800 ? unit : unit < 0xe000 ? unit + 0x2000 : unit - 0x800)

const compareStrings = (a: string, b: string): number => {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const difference = rank(a.charCodeAt(i)) - rank(b.charCodeAt(i))
    if (difference !== 0) return difference
  }
  return a.length - b.length
}

const compareNumbers = (a: number, b: number): number => {
  if (a < b) return -1
  if (a > b) return 1
  if (a === b) return 0
  return Number(!Number.isNaN(a)) - Number(!Number.isNaN(b))
}

const simpleNumber = (value: unknown): number | undefined =>
  typeof value === 'number' ? value : value instanceof Double ? value.value : undefined

/**
 * MongoDB's order of two values of any types: negative, zero or positive. The common types have a short way; the others
 * are compared by their keys, so that this order and that of the indexes are one.
 */
export const compareValues = (a: unknown, b: unknown): number => {
  if (typeof a === 'string' && typeof b === 'string') return a === b ? 0 : compareStrings(a, b)
  const x = simpleNumber(a)
  const y = x === undefined ? undefined : simpleNumber(b)
  if (x !== undefined && y !== undefined) return compareNumbers(x, y)
  const types = keyType(a) - keyType(b)
  if (types !== 0) return types
  return compareObjects(a, b)
}

const compareObjects = (a: unknown, b: unknown): number => {
  if (a === b) return 0
  if (a instanceof Date && b instanceof Date) return a.getTime() - b.getTime()
  if (a instanceof ObjectId && b instanceof ObjectId) return Buffer.compare(a.id, b.id)
  if (a instanceof Long && b instanceof Long && bsonType(a) === 'Long') return a.compare(b)
  if (typeof a === 'boolean') return Number(a) - Number(b)
  return Buffer.compare(encodeValue(a), encodeValue(b))
}

/** Compares two values for equality in a query: numbers by value, objects with their fields in the same order. */
export const equalValues = (a: unknown, b: unknown): boolean => compareValues(a, b) === 0
