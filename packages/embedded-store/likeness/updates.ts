import { Decimal128, Double, Int32, Long } from 'bson'
import fc, { type Arbitrary } from 'fast-check'
import { operator, type Spec } from './filters.ts'
import { fields, path, scalar, value } from './values.ts'

const ODD_PATHS = ['_id', '', 'a.', '.a', 'a..b', '$x', 'a.$x', 'a.$[', 'c.$[i].$[j]']
const PLACES = ['a.$[]', 'c.$[].x', 'a.$[i]', 'c.$[i].x', 'a.$', 'c.$.x', 'c.x.$[]', 'a.5', 'c.0.0', ...ODD_PATHS]
const target = fc.oneof({ weight: 8, arbitrary: path }, { weight: 2, arbitrary: fc.constantFrom(...PLACES) })

const NUMBERS: unknown[] = [
  new Int32(1),
  new Int32(2),
  new Double(0.5),
  Long.fromNumber(5),
  Decimal128.fromString('0.1'),
  new Int32(2147483647),
  Long.fromString('9223372036854775807'),
  'x',
  null,
  new Double(Number.NaN),
]
const ORDERS: unknown[] = [1, -1, { x: 1 }, { y: -1, x: 1 }, 0, 'x', {}, { x: 2 }, { 'x.': 1 }]
const values = fc.array(value, { maxLength: 3 })
const pushed = fc.record(
  {
    $each: fc.oneof({ weight: 6, arbitrary: values }, { weight: 1, arbitrary: scalar }),
    $position: fc.constantFrom<unknown>(0, 1, -1, 'x', 1.5, 99),
    $slice: fc.constantFrom<unknown>(0, 1, -2, 5, 'x', 1.5),
    $sort: fc.constantFrom(...ORDERS),
  },
  { requiredKeys: ['$each'], noNullPrototype: true },
)
const element = fc
  .tuple(fc.constantFrom('x', 'y'), fc.oneof(value, operator))
  .map(([name, given]) => ({ [name]: given }))
/** What each operator may be given, and how often it is drawn. */
const OPERANDS: [operators: string[], operand: Arbitrary<unknown>, weight: number][] = [
  [['$set'], value, 5],
  [['$setOnInsert'], value, 2],
  [['$unset'], fc.constantFrom<unknown>('', 1, null), 3],
  [['$inc', '$mul'], fc.constantFrom(...NUMBERS), 4],
  [['$min', '$max'], scalar, 3],
  [['$rename'], fc.oneof(target, scalar), 2],
  [['$push'], fc.oneof(value, pushed), 5],
  [['$addToSet'], fc.oneof(value, fc.record({ $each: values }, { noNullPrototype: true })), 4],
  [['$pop'], fc.constantFrom<unknown>(1, -1, 0, 2, 'x', new Double(1)), 2],
  [['$pull'], fc.oneof(value, operator, element), 4],
  [['$pullAll'], fc.oneof({ weight: 5, arbitrary: values }, { weight: 1, arbitrary: scalar }), 2],
  [['$currentDate'], fc.constantFrom<unknown>('x', { $type: 'x' }, 1), 1],
  [['$nonsense', '$pushAll'], scalar, 1],
]
const change = fc.oneof(
  ...OPERANDS.map(([operators, operand, weight]) => ({
    weight,
    arbitrary: fc.tuple(fc.constantFrom(...operators), target, operand),
  })),
)
const changes = fc.array(change, { minLength: 1, maxLength: 3 }).map((all) => {
  const update: Record<string, Spec> = {}
  for (const [name, where, operand] of all) (update[name] ??= {})[where] = operand
  return update
})

const ODD: unknown[] = [
  {},
  { $set: 1 },
  { $set: {} },
  { a: 1, $set: { b: 1 } },
  { $set: { a: 1 }, b: 1 },
  { _id: 1, z: 1 },
  { _id: 77 },
]

/** An update: operators, a document in place of the other, or neither. */
export const update: Arbitrary<unknown> = fc.oneof(
  { weight: 10, arbitrary: changes },
  { weight: 2, arbitrary: fields },
  { weight: 1, arbitrary: fc.constantFrom(...ODD) },
)

const ODD_FILTERS: Spec[] = [{ j: 1 }, {}, { i: 1, j: 1 }, { I: 1 }, { $or: [{ i: 1 }, { 'i.x': 1 }] }]
const asked = fc.oneof(scalar, operator)

export const arrayFilters: Arbitrary<Spec[] | undefined> = fc.option(
  fc.array(
    fc.oneof(
      asked.map((given): Spec => ({ i: given })),
      asked.map((given): Spec => ({ 'i.x': given })),
      fc.constantFrom(...ODD_FILTERS),
    ),
    { maxLength: 2 },
  ),
  { nil: undefined, freq: 1 },
)
