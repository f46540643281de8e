import type { Decimal128, Long } from 'bson'

/**
 * Numbers of all BSON types as bytes in their numeric order: the largest double that is not above the value, as its bits
 * made comparable, then 0, or 1 and how far the value is on the way to the next double in 64 bits. An int64 and any two
 * decimals of 34 digits stay apart; decimals outside the range of a double compare equal to each other.
 */
type NumberParts = { double: number; fraction: bigint }

const view = new DataView(new ArrayBuffer(8))

const bitsOf = (value: number): bigint => {
  view.setFloat64(0, value)
  return view.getBigInt64(0)
}

const doubleOf = (bits: bigint): number => {
  view.setBigInt64(0, bits)
  return view.getFloat64(0)
}

const MIN_DENORMAL = Number.MIN_VALUE

const nextUp = (value: number): number => {
  if (value === 0) return MIN_DENORMAL
  return doubleOf(bitsOf(value) + (value > 0 ? 1n : -1n))
}

const nextDown = (value: number): number => -nextUp(-value)

/** A rational number as numerator and (positive) denominator. */
type Ratio = { top: bigint; bottom: bigint }

const ratioOfDouble = (value: number): Ratio => {
  const bits = BigInt.asUintN(64, bitsOf(value))
  const exponent = Number((bits >> 52n) & 0x7ffn)
  const fraction = bits & 0xfffffffffffffn
  const mantissa = exponent === 0 ? fraction : fraction | (1n << 52n)
  const power = (exponent === 0 ? 1 : exponent) - 1075
  const signed = value < 0 ? -mantissa : mantissa
  return power >= 0 ? { top: signed << BigInt(power), bottom: 1n } : { top: signed, bottom: 1n << BigInt(-power) }
}

const minus = (a: Ratio, b: Ratio): Ratio => ({ top: a.top * b.bottom - b.top * a.bottom, bottom: a.bottom * b.bottom })

const partsOfRatio = (exact: Ratio, nearest: number): NumberParts => {
  if (nearest === Infinity) return { double: Number.MAX_VALUE, fraction: (1n << 64n) - 1n }
  if (nearest === -Infinity) return { double: -Infinity, fraction: 1n }
  let double = nearest
  let rest = minus(exact, ratioOfDouble(double))
  if (rest.top < 0n) {
    double = nextDown(double)
    if (double === -Infinity) return { double, fraction: 1n }
    rest = minus(exact, ratioOfDouble(double))
  }
  if (rest.top === 0n) return { double, fraction: 0n }
  const above = nextUp(double)
  if (above === Infinity) return { double, fraction: (1n << 64n) - 1n }
  const gap = minus(ratioOfDouble(above), ratioOfDouble(double))
  const fraction = ((rest.top * gap.bottom) << 64n) / (rest.bottom * gap.top)
  return { double, fraction: fraction === 0n ? 1n : fraction }
}

/** The parts of an int64. */
export const partsOfLong = (value: Long): NumberParts => {
  const nearest = value.toNumber()
  if (Number.isSafeInteger(nearest)) return { double: nearest, fraction: 0n }
  return partsOfRatio({ top: value.toBigInt(), bottom: 1n }, nearest)
}

/** The parts of a decimal, from its text: `-1.5E+3`, `NaN`, `Infinity`. */
export const partsOfDecimal = (value: Decimal128): NumberParts => {
  const text = value.toString()
  const match = /^(-?)(\d+)(?:\.(\d+))?(?:E([+-]?\d+))?$/.exec(text)
  if (!match) return { double: Number(text), fraction: 0n }
  const [, sign, whole = '', decimals = '', exponent = '0'] = match
  const digits = BigInt(`${whole}${decimals}`)
  if (digits === 0n) return { double: 0, fraction: 0n }
  const power = Number(exponent) - decimals.length
  const signed = sign ? -digits : digits
  const exact =
    power >= 0 ? { top: signed * 10n ** BigInt(power), bottom: 1n } : { top: signed, bottom: 10n ** BigInt(-power) }
  return partsOfRatio(exact, Number(text))
}

/** Writes a number at `offset` of `target` (17 bytes at most) and gives the offset behind it. */
export const writeNumberParts = (target: Buffer, offset: number, { double, fraction }: NumberParts): number => {
  if (Number.isNaN(double)) target.fill(0, offset, offset + 8)
  else {
    target.writeDoubleBE(double === 0 ? 0 : double, offset)
    const first = target[offset] as number
    if (first < 0x80) target[offset] = first | 0x80
    else for (let i = offset; i < offset + 8; i++) target[i] = ~(target[i] as number)
  }
  if (fraction === 0n) {
    target[offset + 8] = 0
    return offset + 9
  }
  target[offset + 8] = 1
  target.writeBigUInt64BE(fraction, offset + 9)
  return offset + 17
}
