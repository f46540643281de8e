import { Decimal128 } from 'bson'
import { toNumber, typeName } from './bson.ts'

/**
 * A decimal as `digits × 10^exponent`. Sums and products are exact, then rounded to 34 digits, half to even:
 * https://speleotrove.com/decimal/decarith.html
 */
type Parts = { digits: bigint; exponent: number }

const DIGITS = 34
const MAX_EXPONENT = 6111
const MIN_EXPONENT = -6176

/** A double counts with 15 digits, as MongoDB converts it. */
const textOf = (value: unknown): string => {
  if (typeName(value) === 'double') return (toNumber(value) ?? Number.NaN).toPrecision(15)
  return String(value)
}

const partsOf = (text: string): Parts | undefined => {
  const match = /^(-?\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/i.exec(text)
  if (!match) return undefined
  const [, whole = '', fraction = '', exponent = '0'] = match
  return { digits: BigInt(`${whole}${fraction}`), exponent: Number(exponent) - fraction.length }
}

/** Cuts the last digits off, rounded half to even. */
const cut = (digits: bigint, count: number): bigint => {
  const unit = 10n ** BigInt(count)
  const size = digits < 0n ? -digits : digits
  const [kept, rest] = [size / unit, (size % unit) * 2n]
  const rounded = rest > unit || (rest === unit && kept % 2n === 1n) ? kept + 1n : kept
  return digits < 0n ? -rounded : rounded
}

const lengthOf = (digits: bigint): number => String(digits < 0n ? -digits : digits).length

const decimalOf = ({ digits, exponent }: Parts): Decimal128 => {
  let rounded = digits
  let power = exponent
  // rounding up may make one digit more
  while (lengthOf(rounded) > DIGITS || power < MIN_EXPONENT) {
    const count = Math.max(lengthOf(rounded) - DIGITS, MIN_EXPONENT - power)
    rounded = cut(rounded, count)
    power += count
  }
  while (power > MAX_EXPONENT && rounded !== 0n && lengthOf(rounded) < DIGITS) {
    rounded *= 10n
    power--
  }
  if (power > MAX_EXPONENT && rounded !== 0n) return Decimal128.fromString(rounded < 0n ? '-Infinity' : 'Infinity')
  return Decimal128.fromString(`${rounded}E${Math.min(power, MAX_EXPONENT)}`)
}

/** Of infinities and what is no number the result is that of doubles. */
const special = (result: number): Decimal128 => Decimal128.fromString(String(result))

export const addDecimals = (a: unknown, b: unknown): Decimal128 => {
  const [one, other] = [textOf(a), textOf(b)]
  const [x, y] = [partsOf(one), partsOf(other)]
  if (!x || !y) return special(Number(one) + Number(other))
  const exponent = Math.min(x.exponent, y.exponent)
  const at = ({ digits, exponent: own }: Parts): bigint => digits * 10n ** BigInt(own - exponent)
  return decimalOf({ digits: at(x) + at(y), exponent })
}

export const multiplyDecimals = (a: unknown, b: unknown): Decimal128 => {
  const [one, other] = [textOf(a), textOf(b)]
  const [x, y] = [partsOf(one), partsOf(other)]
  if (!x || !y) return special(Number(one) * Number(other))
  return decimalOf({ digits: x.digits * y.digits, exponent: x.exponent + y.exponent })
}
