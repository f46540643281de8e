import { Double, Long } from 'bson'
import { isInt32, toNumber, typeName } from './bson.ts'
import { CommandError, notImplemented } from '../errors.ts'

/** Common type of two numbers, as in MongoDB: decimal over double over long over int. */
type Integers = { a: bigint; b: bigint; long: boolean }

const MAX_LONG = (1n << 63n) - 1n
const MIN_LONG = -(1n << 63n)

const integers = (a: unknown, b: unknown): Integers | undefined => {
  const types = [typeName(a), typeName(b)]
  if (types.some((type) => type !== 'int' && type !== 'long')) return undefined
  const whole = (value: unknown): bigint => (value instanceof Long ? value.toBigInt() : BigInt(Number(value)))
  return { a: whole(a), b: whole(b), long: types.includes('long') }
}

const refuseDecimals = (a: unknown, b: unknown): void => {
  if ([a, b].some((value) => typeName(value) === 'decimal')) throw notImplemented('Arithmetic with Decimal128')
}

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
const asDouble = (result: number): unknown => (isInt32(result) ? new Double(result) : result)

/** The sum with the type that MongoDB gives it; int32 grows to int64. */
export const add = (a: unknown, b: unknown): unknown => {
  refuseDecimals(a, b)
  const whole = integers(a, b)
  if (whole) return fromInteger(whole.a + whole.b, whole.long, '$inc')
  return asDouble((toNumber(a) ?? Number.NaN) + (toNumber(b) ?? Number.NaN))
}

/** Sum of two numbers; a result beyond int64 becomes a double. */
export const sum = (a: unknown, b: unknown): unknown => {
  const whole = integers(a, b)
  const total = whole ? whole.a + whole.b : 0n
  return total > MAX_LONG || total < MIN_LONG ? Number(total) : add(a, b)
}

export const multiply = (a: unknown, b: unknown): unknown => {
  refuseDecimals(a, b)
  const whole = integers(a, b)
  if (whole) return fromInteger(whole.a * whole.b, whole.long, '$mul')
  return asDouble((toNumber(a) ?? Number.NaN) * (toNumber(b) ?? Number.NaN))
}
