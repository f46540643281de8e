import { Double, Long } from 'bson'
import { isInt32, toNumber, typeName } from './bson.ts'
import { addDecimals, multiplyDecimals } from './decimal.ts'
import { CommandError } from '../errors.ts'

/** What MongoDB makes of two numbers of different types: decimal over double over long over int. */
type Integers = { a: bigint; b: bigint; long: boolean }

const MAX_LONG = (1n << 63n) - 1n
const MIN_LONG = -(1n << 63n)

const integers = (a: unknown, b: unknown): Integers | undefined => {
  const types = [typeName(a), typeName(b)]
  if (types.some((type) => type !== 'int' && type !== 'long')) return undefined
  const whole = (value: unknown): bigint => (value instanceof Long ? value.toBigInt() : BigInt(Number(value)))
  return { a: whole(a), b: whole(b), long: types.includes('long') }
}

const hasDecimal = (a: unknown, b: unknown): boolean => [a, b].some((value) => typeName(value) === 'decimal')

const fromInteger = (result: bigint, long: boolean, operator: string): unknown => {
  if (result > MAX_LONG || result < MIN_LONG)
    throw new CommandError(
      2,
      `Failed to apply ${operator} operations to current value: the result does not fit into 64 bits`,
    )
  const number = Number(result)
  return !long && isInt32(number) ? number : Long.fromBigInt(result)
}

/** A number that is a double also where it is whole. */
export const asDouble = (result: number): unknown => (isInt32(result) ? new Double(result) : result)

/** The sum with the type that MongoDB gives it; int32 grows to int64. */
export const add = (a: unknown, b: unknown): unknown => {
  if (hasDecimal(a, b)) return addDecimals(a, b)
  const whole = integers(a, b)
  if (whole) return fromInteger(whole.a + whole.b, whole.long, '$inc')
  return asDouble((toNumber(a) ?? Number.NaN) + (toNumber(b) ?? Number.NaN))
}

/** The sum as expressions make it: what does not fit into an int64 becomes a double. */
export const sum = (a: unknown, b: unknown): unknown => {
  const whole = integers(a, b)
  const total = whole ? whole.a + whole.b : 0n
  return total > MAX_LONG || total < MIN_LONG ? Number(total) : add(a, b)
}

export const multiply = (a: unknown, b: unknown): unknown => {
  if (hasDecimal(a, b)) return multiplyDecimals(a, b)
  const whole = integers(a, b)
  if (whole) return fromInteger(whole.a * whole.b, whole.long, '$mul')
  return asDouble((toNumber(a) ?? Number.NaN) * (toNumber(b) ?? Number.NaN))
}

/** `$bit`: whole numbers only. */
export const bitwise = (kind: string, a: unknown, b: unknown): unknown => {
  const whole = integers(a, b)
  if (!whole) throw new CommandError(2, 'Cannot apply $bit to a value that is not an integer')
  const result = kind === 'and' ? whole.a & whole.b : kind === 'or' ? whole.a | whole.b : whole.a ^ whole.b
  return fromInteger(result, whole.long, '$bit')
}
