import { Long } from 'bson'
import { bsonType, toNumber } from '../values/bson.ts'
import { badValue } from '../errors.ts'
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
