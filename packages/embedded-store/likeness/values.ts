import { Binary, BSONRegExp, Decimal128, Double, Int32, Long, MaxKey, MinKey, ObjectId, Timestamp } from 'bson'
import fc, { type Arbitrary } from 'fast-check'

const small = fc.integer({ min: -1, max: 4 }).map((number) => new Int32(number))
const doubles = fc.constantFrom(1.5, 2, Number.NaN, -0, Infinity, -1).map((number) => new Double(number))
const longs = fc.constantFrom('1', '3', '9007199254740993', '-9223372036854775808').map((text) => Long.fromString(text))
const decimals = fc.constantFrom('1.5', '2', 'NaN', '0.1', '-Infinity').map((text) => Decimal128.fromString(text))
const binary = fc.constantFrom(
  new Binary(Buffer.from('ab')),
  new Binary(Buffer.from('b')),
  new Binary(Buffer.from('ab'), 5),
)
const others = fc.constantFrom(new MinKey(), new MaxKey(), new Timestamp({ t: 1, i: 1 }), new BSONRegExp('^a', 'i'))
const ids = fc.constantFrom('000000000000000000000001', '000000000000000000000002').map((hex) => new ObjectId(hex))

/** A value of any type that is no document and no array; few of each, so that they meet. */
export const scalar: Arbitrary<unknown> = fc.oneof(
  { weight: 6, arbitrary: small },
  { weight: 3, arbitrary: fc.constantFrom('', 'a', 'ab', 'b', 'B', 'a.b', '0', 'ä') },
  { weight: 2, arbitrary: fc.constant(null) },
  { weight: 2, arbitrary: doubles },
  { weight: 2, arbitrary: longs },
  { weight: 1, arbitrary: decimals },
  { weight: 2, arbitrary: fc.boolean() },
  { weight: 2, arbitrary: fc.constantFrom(0, 1, -1).map((time) => new Date(time)) },
  { weight: 1, arbitrary: ids },
  { weight: 1, arbitrary: binary },
  { weight: 1, arbitrary: others },
)

const key = fc.constantFrom('x', 'y', '0', '1')
const nested = fc.dictionary(key, scalar, { maxKeys: 3, noNullPrototype: true })

export const array: Arbitrary<unknown[]> = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: scalar },
    { weight: 2, arbitrary: nested },
    { weight: 1, arbitrary: fc.array(scalar, { maxLength: 2 }) },
  ),
  { maxLength: 4 },
)

const deep = fc.dictionary(key, fc.oneof(scalar, nested, array), { maxKeys: 2, noNullPrototype: true })

export const value: Arbitrary<unknown> = fc.oneof(
  { weight: 5, arbitrary: scalar },
  { weight: 2, arbitrary: nested },
  { weight: 3, arbitrary: array },
  { weight: 1, arbitrary: deep },
)

/** The fields of a document without its `_id`. */
export const fields: Arbitrary<Record<string, unknown>> = fc.record(
  { a: value, b: value, c: fc.oneof(deep, array, scalar) },
  { requiredKeys: [], noNullPrototype: true },
)

export const path = fc.constantFrom(
  'a',
  'b',
  'c',
  'a.x',
  'c.x',
  'c.y',
  'a.0',
  'c.0',
  'c.x.y',
  'c.0.x',
  'a.0.x',
  'c.x.0',
  'b.1',
  'c.x.y.x',
  'd',
)
