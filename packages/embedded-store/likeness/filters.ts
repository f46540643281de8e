import { BSONRegExp, Double, Long } from 'bson'
import fc, { type Arbitrary } from 'fast-check'
import { path, scalar, value } from './values.ts'

export type Spec = Record<string, unknown>

/** A field with one of these names and one of these values. */
const field = (names: Arbitrary<string>, values: Arbitrary<unknown>): Arbitrary<Spec> =>
  fc.tuple(names, values).map(([name, given]) => ({ [name]: given }))

const TYPES: unknown[] = [
  'double',
  'string',
  'object',
  'array',
  'binData',
  'objectId',
  'bool',
  'date',
  'null',
  'regex',
  'int',
  'timestamp',
  'long',
  'decimal',
  'minKey',
  'maxKey',
  'number',
  'undefined',
  'nonsense',
  1,
  2,
  3,
  4,
  16,
  18,
  19,
  -1,
  127,
  99,
  1.5,
]
const type = fc.constantFrom(...TYPES)
const regexes = fc.constantFrom(
  new BSONRegExp('^a', ''),
  new BSONRegExp('B', 'i'),
  new BSONRegExp('b$', ''),
  new BSONRegExp('.', 's'),
  new BSONRegExp('a b # c', 'x'),
  new BSONRegExp('^$', 'm'),
)
const TEXTS: Spec[] = [
  { $regex: '^a' },
  { $regex: 'A', $options: 'i' },
  { $options: 'i' },
  { $regex: '(' },
  { $regex: 5 },
  { $regex: 'a', $options: 'q' },
  { $regex: new BSONRegExp('a', 'i'), $options: '' },
  { $regex: new BSONRegExp('a', 'i'), $options: 's' },
  { $regex: 'a', $gt: 'a' },
]
const SIZES: unknown[] = [0, 1, 2, -1, 1.5, 'x', Long.fromNumber(1), new Double(2)]
const REMAINDERS: unknown[] = [
  [2, 0],
  [2, 1],
  [2],
  [0, 1],
  [2.5, 1],
  [2, 0, 1],
  'x',
  [new Double(Number.NaN), 1],
  ['a', 1],
  [-2, -1],
]

const ordered = fc.constantFrom('$eq', '$gt', '$gte', '$lt', '$lte', '$ne')
const lists = fc.array(fc.oneof({ weight: 6, arbitrary: value }, { weight: 1, arbitrary: regexes }), { maxLength: 3 })

/** What a field may be asked: an operator of the query language, right or wrong. */
export const operator: Arbitrary<unknown> = fc.letrec<{ operator: unknown }>((tie) => ({
  operator: fc.oneof(
    { weight: 8, arbitrary: field(ordered, value) },
    {
      weight: 2,
      arbitrary: fc.tuple(field(ordered, scalar), field(ordered, scalar)).map(([one, two]) => ({ ...one, ...two })),
    },
    { weight: 3, arbitrary: field(fc.constantFrom('$in', '$nin', '$all'), lists) },
    { weight: 2, arbitrary: field(fc.constant('$exists'), fc.constantFrom<unknown>(true, false, 0, 1, null, 'x')) },
    { weight: 2, arbitrary: field(fc.constant('$type'), fc.oneof(type, fc.array(type, { maxLength: 2 }))) },
    { weight: 1, arbitrary: field(fc.constant('$size'), fc.constantFrom(...SIZES)) },
    { weight: 1, arbitrary: field(fc.constant('$mod'), fc.constantFrom(...REMAINDERS)) },
    { weight: 2, arbitrary: regexes },
    { weight: 1, arbitrary: fc.constantFrom(...TEXTS) },
    { weight: 2, arbitrary: field(fc.constant('$not'), fc.oneof(tie('operator'), scalar)) },
    {
      weight: 3,
      arbitrary: field(
        fc.constant('$elemMatch'),
        fc.oneof(
          tie('operator'),
          field(fc.constantFrom('x', 'y', '0', 'x.y'), fc.oneof(value, tie('operator'))),
          scalar,
        ),
      ),
    },
    { weight: 1, arbitrary: field(fc.constantFrom('$nonsense', '$comment'), scalar) },
  ),
})).operator

const number = fc.integer({ min: 0, max: 20 })
const condition = fc.oneof(
  { weight: 3, arbitrary: field(path, operator) },
  { weight: 1, arbitrary: field(path, fc.oneof(value, regexes)) },
  { weight: 1, arbitrary: field(fc.constant('_id'), fc.oneof(number, fc.record({ $gt: number }))) },
)
const ODD: Spec[] = [
  { $and: [] },
  { $or: [] },
  { $nor: [] },
  { $and: 1 },
  { $or: [1] },
  { $nonsense: 1 },
  { $comment: 'x' },
  { $not: { a: 1 } },
]

export const filter: Arbitrary<Spec> = fc.letrec<{ filter: Spec }>((tie) => ({
  filter: fc.oneof(
    { depthSize: 'small' },
    { weight: 3, arbitrary: condition },
    { weight: 3, arbitrary: fc.tuple(condition, condition).map(([one, two]) => ({ ...one, ...two })) },
    {
      weight: 3,
      arbitrary: field(fc.constantFrom('$and', '$or', '$nor'), fc.array(tie('filter'), { minLength: 1, maxLength: 3 })),
    },
    { weight: 1, arbitrary: fc.constantFrom(...ODD) },
  ),
})).filter

/** Some fields, each with something: an order, a projection, an index. */
export const byPath = (paths: Arbitrary<string>, given: Arbitrary<unknown>, maxLength = 3): Arbitrary<Spec> =>
  fc
    .uniqueArray(fc.tuple(paths, given), { minLength: 1, maxLength, selector: ([name]) => name })
    .map((entries) => Object.fromEntries(entries))

const ODD_DIRECTIONS: unknown[] = [2, 0, 'x', new Double(-1), -3, 0.5, true, null]
const directions = fc.constantFrom<1 | -1>(1, -1)

/** An order that leaves nothing open. */
export const sort = byPath(path, directions).map((order): Spec => ({ ...order, _id: 1 }))

/** An order, or what is none. */
export const anySort = byPath(
  path,
  fc.oneof({ weight: 8, arbitrary: directions }, { weight: 1, arbitrary: fc.constantFrom(...ODD_DIRECTIONS) }),
).map((order): Spec => ({ ...order, _id: 1 }))

const SHOWN: unknown[] = [1, 1, 1, true, new Double(1), 2]
const HIDDEN: unknown[] = [0, 0, false]
const projections = (given: Arbitrary<unknown>) =>
  fc
    .tuple(byPath(path, given), fc.constantFrom<Spec>({}, {}, { _id: 0 }, { _id: 1 }))
    .map(([some, id]) => ({ ...some, ...id }))
const NESTED: unknown[] = [{ x: 1 }, { x: 0 }, {}, { y: { x: true } }]

/** The fields of a document that are shown; mostly by one way of saying it, as inclusion and exclusion do not mix. */
export const projection: Arbitrary<Spec> = fc.oneof(
  projections(
    fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...SHOWN) }, { weight: 1, arbitrary: fc.constantFrom(...NESTED) }),
  ),
  projections(
    fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom(...HIDDEN) },
      { weight: 1, arbitrary: fc.constantFrom(...NESTED) },
    ),
  ),
)
