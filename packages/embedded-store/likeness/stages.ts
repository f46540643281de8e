import fc, { type Arbitrary } from 'fast-check'
import { filter, projection, sort, type Spec } from './filters.ts'
import { path, scalar } from './values.ts'

const ref = path.map((name) => `$${name}`)
const operand = fc.oneof(
  { weight: 5, arbitrary: ref },
  { weight: 2, arbitrary: scalar.filter((value) => value !== '') },
  { weight: 1, arbitrary: fc.constantFrom<unknown>('$$ROOT', '$_id', { $literal: '$a' }, ['$a', 1], { x: '$b' }) },
)

/** Operators by how many operands they take. */
const ONE = [
  '$abs',
  '$ceil',
  '$floor',
  '$sqrt',
  '$toLower',
  '$toUpper',
  '$strLenCP',
  '$size',
  '$type',
  '$isArray',
  '$not',
]
const MORE = [
  '$isNumber',
  '$reverseArray',
  '$first',
  '$last',
  '$toString',
  '$toInt',
  '$toBool',
  '$year',
  '$objectToArray',
]
const TWO = ['$add', '$subtract', '$multiply', '$divide', '$mod', '$cmp', '$eq', '$ne', '$gt', '$gte', '$lt', '$lte']
const LISTS = ['$in', '$arrayElemAt', '$setUnion', '$setIntersection', '$concatArrays', '$ifNull', '$split', '$pow']
const ANY = ['$and', '$or', '$concat', '$max', '$min', '$sum', '$avg', '$mergeObjects', '$ifNull', '$setUnion']

const wrapped = (names: string[], values: Arbitrary<unknown>): Arbitrary<Spec> =>
  fc.tuple(fc.constantFrom(...names), values).map(([name, value]) => ({ [name]: value }))

export const expression: Arbitrary<unknown> = fc.letrec<{ expression: unknown }>((tie) => ({
  expression: fc.oneof(
    { depthSize: 'small' },
    { weight: 4, arbitrary: operand },
    { weight: 3, arbitrary: wrapped([...ONE, ...MORE], tie('expression')) },
    { weight: 3, arbitrary: wrapped([...TWO, ...LISTS], fc.tuple(tie('expression'), tie('expression'))) },
    { weight: 2, arbitrary: wrapped(ANY, fc.array(tie('expression'), { minLength: 1, maxLength: 3 })) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(tie('expression'), tie('expression'), tie('expression'))
        .map(([condition, yes, no]) => ({ $cond: [condition, yes, no] })),
    },
  ),
})).expression

const ACCUMULATORS = ['$sum', '$avg', '$min', '$max', '$first', '$last', '$push', '$count', '$mergeObjects']
const accumulator = fc
  .tuple(fc.constantFrom(...ACCUMULATORS), ref)
  .map(([name, value]) => (name === '$count' ? { $count: {} } : { [name]: value }))
const group = fc
  .tuple(fc.oneof(ref, fc.constant(null)), accumulator, accumulator)
  .map(([_id, one, two]): Spec[] => [{ $group: { _id, one, two } }])

const UNWINDS: Spec[] = [
  {},
  { preserveNullAndEmptyArrays: true },
  { includeArrayIndex: 'i' },
  { includeArrayIndex: 'c.x', preserveNullAndEmptyArrays: true },
]
const unwind = fc
  .tuple(ref, fc.constantFrom(...UNWINDS))
  .map(([of, options]): Spec[] => [{ $unwind: { path: of, ...options } }])
const setting = fc
  .tuple(fc.constantFrom('a', 'd', 'd.x', 'c.x'), expression)
  .map(([name, value]): Spec[] => [{ $set: { [name]: value } }])

/** A pipeline whose answers have one order. */
export const pipeline: Arbitrary<Spec[]> = fc
  .tuple(
    fc.array(
      fc.oneof(
        filter.map((asked) => ({ $match: asked })),
        sort.map((order) => ({ $sort: order })),
      ),
      { maxLength: 1 },
    ),
    fc.oneof(
      { weight: 4, arbitrary: setting },
      { weight: 3, arbitrary: group },
      { weight: 2, arbitrary: unwind },
      { weight: 2, arbitrary: projection.map((shown): Spec[] => [{ $project: shown }]) },
      { weight: 1, arbitrary: path.map((name): Spec[] => [{ $unset: name }]) },
    ),
  )
  .map(([before, stages]) => [...before, ...stages])
