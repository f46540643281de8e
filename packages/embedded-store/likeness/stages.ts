import fc, { type Arbitrary } from 'fast-check'
import { filter, projection, sort, type Spec } from './filters.ts'
import { path } from './values.ts'

const ref = path.map((name) => `$${name}`)
const accumulator = fc.oneof(
  ref.map((value): Spec => ({ $sum: value })),
  fc.constantFrom<Spec>({ $sum: 1 }, { $count: {} }, { $sum: 1.5 }, { $nonsense: 1 }),
)
const key = fc.oneof(ref, fc.record({ x: ref, y: ref }), fc.constantFrom<unknown>(null, 1, 'text'))
const group = fc.tuple(key, accumulator, accumulator).map(([_id, one, two]): Spec => ({ $group: { _id, one, two } }))

/** A pipeline whose answers have one order. */
export const pipeline: Arbitrary<Spec[]> = fc
  .tuple(
    fc.array(
      fc.oneof(
        filter.map((asked) => ({ $match: asked })),
        sort.map((order) => ({ $sort: order })),
        fc.constantFrom<Spec>({ $skip: 1 }, { $limit: 3 }, { $limit: 0 }),
      ),
      { maxLength: 2 },
    ),
    fc.oneof(
      { weight: 3, arbitrary: group },
      { weight: 2, arbitrary: projection.map((shown): Spec => ({ $project: shown })) },
      { weight: 1, arbitrary: fc.constant<Spec>({ $count: 'n' }) },
    ),
  )
  .map(([before, stage]) => [...before, stage])
