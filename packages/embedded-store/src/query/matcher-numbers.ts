import { type Binary, Long } from 'bson'
import { bsonType, toNumber } from '../values/bson.ts'
import { badValue, failedToParse } from '../errors.ts'
import type { ValueTest } from '../values/paths.ts'

const LIMIT = 2 ** 63

/** A number without its fraction, exact for an int64; undefined for what has none or does not fit into 64 bits. */
const truncated = (value: unknown): bigint | undefined => {
  if (value instanceof Long && bsonType(value) === 'Long') return value.toBigInt()
  const number = toNumber(value)
  return number !== undefined && Math.abs(number) < LIMIT ? BigInt(Math.trunc(number)) : undefined
}

/** `$mod`: fractions are cut off, and the remainder has the sign of the value. */
export const modTest = (wanted: unknown): ValueTest => {
  if (!Array.isArray(wanted)) throw badValue('malformed mod, needs to be an array')
  if (wanted.length !== 2) throw badValue(`malformed mod, ${wanted.length < 2 ? 'not enough' : 'too many'} elements`)
  const [divisor, remainder] = (wanted as unknown[]).map(truncated)
  if (divisor === undefined || remainder === undefined)
    throw badValue(`malformed mod, ${divisor === undefined ? 'divisor' : 'remainder'} not a number`)
  if (divisor === 0n) throw badValue('divisor cannot be 0')
  return (value) => {
    const number = truncated(value)
    return number !== undefined && number % divisor === remainder
  }
}

const isBinary = (value: unknown): value is Binary => bsonType(value) === 'Binary'

/** The lowest byte comes first. */
const bitsOfBinary = (value: Binary): bigint => {
  const hex = Buffer.from(value.buffer.subarray(0, value.position).toReversed()).toString('hex')
  return hex === '' ? 0n : BigInt(`0x${hex}`)
}

/** The bits of a whole number or of binary data, or undefined for anything that `$bits…` does not match. */
const bitsOf = (value: unknown): bigint | undefined => {
  if (isBinary(value)) return bitsOfBinary(value)
  const number = toNumber(value)
  return number !== undefined && Number.isInteger(number) ? truncated(value) : undefined
}

const maskOf = (wanted: unknown): bigint => {
  if (!Array.isArray(wanted)) {
    const mask = bitsOf(wanted)
    if (mask !== undefined && mask >= 0n) return mask
    const needs = '$bits operators take an Array, a non-negative whole number, or a BinData'
    throw toNumber(wanted) === undefined ? badValue(needs) : failedToParse(needs)
  }
  let mask = 0n
  for (const position of wanted as unknown[]) {
    const bit = toNumber(position)
    if (bit === undefined || !Number.isInteger(bit) || bit < 0 || bit > 0x7fffffff)
      throw badValue('bit positions must be integers >= 0')
    // far more than any document's binary data has, and nothing to be made large by
    mask |= 1n << BigInt(Math.min(bit, 65_536))
  }
  return mask
}

/** `$bitsAllSet` and its kin; a negative number has as many set bits above its own as are asked for. */
export const bitsTest = (wanted: unknown, accepts: (found: bigint, mask: bigint) => boolean): ValueTest => {
  const mask = maskOf(wanted)
  return (value) => {
    const bits = bitsOf(value)
    return bits !== undefined && accepts(bits & mask, mask)
  }
}
