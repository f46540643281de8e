import { Binary, BSONRegExp, Decimal128, Double, Long, MaxKey, MinKey, ObjectId, Timestamp } from 'bson'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decode, encode } from '../src/values/bson.ts'
import { compareValues } from '../src/values/compare.ts'
import { encodeKey, encodeValue, invert, successor } from '../src/values/key-encoding.ts'

const long = fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }).map((value) => Long.fromBigInt(value))
const decimal = fc
  .tuple(fc.bigInt({ min: -(10n ** 33n), max: 10n ** 33n }), fc.integer({ min: -40, max: 40 }))
  .map(([digits, exponent]) => Decimal128.fromString(`${digits}E${exponent}`))
const number = fc.oneof(
  fc.integer(),
  fc.double(),
  fc.double().map((value) => new Double(value)),
  long,
  decimal,
)
const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: fc.constantFrom('\0', '\u0001', 'a', 'ÿ', '\uffff', '😀') }),
)
const simple = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  number,
  text,
  fc.date({ noInvalidDate: true }),
  fc.uint8Array({ minLength: 12, maxLength: 12 }).map((bytes) => new ObjectId(bytes)),
  fc.uint8Array({ maxLength: 6 }).map((bytes) => new Binary(bytes)),
  fc.constant(new MinKey()),
  fc.constant(new MaxKey()),
  fc.constant(new BSONRegExp('a', 'i')),
  fc.record({ t: fc.nat(0xffffffff), i: fc.nat(0xffffffff) }).map((parts) => new Timestamp(parts)),
)
const value = fc.letrec<{ any: unknown }>((tie) => ({
  any: fc.oneof(
    { maxDepth: 3 },
    simple,
    fc.array(tie('any'), { maxLength: 3 }),
    fc.dictionary(fc.string({ maxLength: 3 }), tie('any'), { maxKeys: 3 }),
  ),
})).any

const sign = (order: number): number => Math.sign(order)

test('the bytes of two values have the order of the values', () => {
  fc.assert(
    fc.property(value, value, (a, b) => {
      expect(sign(Buffer.compare(encodeValue(a), encodeValue(b)))).toBe(sign(compareValues(a, b)))
    }),
    { numRuns: 3000 },
  )
})

test('numbers of all types compare by their exact value', () => {
  const exact = fc.oneof(
    fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }),
    fc.maxSafeInteger().map(BigInt),
    fc.integer({ min: -3, max: 3 }).map((near) => (1n << 53n) + BigInt(near)),
  )
  const typed = fc.tuple(exact, fc.constantFrom('long', 'decimal', 'double'))
  const made = ([whole, type]: [bigint, string]): { value: unknown; exact: bigint } => {
    if (type === 'long') return { value: Long.fromBigInt(whole), exact: whole }
    if (type === 'decimal') return { value: Decimal128.fromString(String(whole)), exact: whole }
    return { value: new Double(Number(whole)), exact: BigInt(Number(whole)) }
  }
  fc.assert(
    fc.property(typed, typed, (first, second) => {
      const [a, b] = [made(first), made(second)]
      const order = a.exact < b.exact ? -1 : a.exact > b.exact ? 1 : 0
      expect(sign(Buffer.compare(encodeValue(a.value), encodeValue(b.value)))).toBe(order)
    }),
    { numRuns: 3000 },
  )
})

test('text is ordered by its UTF-8 bytes, as MongoDB does it', () => {
  fc.assert(
    fc.property(text, text, (a, b) => {
      expect(sign(Buffer.compare(encodeValue(a), encodeValue(b)))).toBe(
        sign(Buffer.compare(Buffer.from(a), Buffer.from(b))),
      )
    }),
  )
})

test('no encoding is a prefix of another, so compound keys keep the order of their fields', () => {
  const direction = fc.constantFrom<1 | -1>(1, -1)
  fc.assert(
    fc.property(fc.array(fc.tuple(value, value, direction), { minLength: 1, maxLength: 3 }), (fields) => {
      const directions = fields.map(([, , direction]) => direction)
      const a = encodeKey(
        fields.map(([left]) => left),
        directions,
      )
      const b = encodeKey(
        fields.map(([, right]) => right),
        directions,
      )
      const orders = fields.map(([left, right, direction]) => sign(compareValues(left, right)) * direction)
      expect(sign(Buffer.compare(a, b))).toBe(orders.find((order) => order !== 0) ?? 0)
    }),
    { numRuns: 2000 },
  )
})

test('the successor of a key is above everything that begins with it, also inverted', () => {
  fc.assert(
    fc.property(value, fc.uint8Array({ maxLength: 4 }), (a, more) => {
      for (const key of [encodeValue(a), invert(encodeValue(a))]) {
        expect(Buffer.compare(successor(key), Buffer.concat([key, more]))).toBeGreaterThan(0)
        expect(Buffer.compare(successor(key), key)).toBeGreaterThan(0)
      }
    }),
  )
})

test('types stand in the order of MongoDB', () => {
  const ordered: unknown[] = [
    new MinKey(),
    null,
    Number.NaN,
    -Infinity,
    -1.5,
    0,
    Long.fromNumber(1),
    Infinity,
    '',
    'a',
    {},
    { a: 1 },
    [],
    [1],
    new Binary(new Uint8Array(1)),
    new ObjectId(),
    false,
    true,
    new Date(0),
    new Timestamp({ t: 1, i: 1 }),
    new BSONRegExp('a'),
    new MaxKey(),
  ]
  for (let i = 1; i < ordered.length; i++) expect(compareValues(ordered[i - 1], ordered[i]), String(i)).toBeLessThan(0)
  expect(compareValues(-0, 0)).toBe(0)
})

test('a document that is decoded and encoded again has the same bytes', () => {
  fc.assert(
    fc.property(
      fc.dictionary(
        fc.string({ maxLength: 5 }).filter((key) => !/^\d/.test(key) && !key.includes('\0') && key !== '__proto__'),
        value,
      ),
      (doc) => {
        const bytes = encode(doc)
        expect(encode(decode(bytes)).equals(bytes)).toBe(true)
      },
    ),
    { numRuns: 1000 },
  )
})
