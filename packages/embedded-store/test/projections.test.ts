import { Decimal128, type Document, Long } from 'mongodb'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { serverError, startTestStore, type TestStore } from './lab.ts'

let lab: TestStore
type Thing = Document & { _id: number }
const things = () => lab.db.collection<Thing>('projected')

beforeAll(async () => {
  lab = await startTestStore()
})
afterAll(() => lab.stop())
beforeEach(async () => {
  await things().deleteMany({})
})

/** A document, a projection, and what it makes of the document or the code of the error; `_id` is 1. */
type Row = [document: Document, projection: Document, result: Document | number]

const outcome = async (found: Promise<Document[]>): Promise<unknown> =>
  found.then(
    ([document]) => document,
    async () => (await serverError(found)).code,
  )

const BOTH: Row[] = [
  [{}, { 'a.x': 'text' }, { _id: 1, a: { x: 'text' } }],
  [{ a: 2 }, { 'a.x': '$a' }, { _id: 1, a: { x: 2 } }],
  [{ a: 2 }, { 'a.x': '$missing' }, { _id: 1, a: {} }],
  [
    { a: [1, { y: 1 }, [2], []] },
    { 'a.x': 'text' },
    { _id: 1, a: [{ x: 'text' }, { x: 'text' }, [{ x: 'text' }], []] },
  ],
  [{ a: [1, { x: 2 }] }, { 'a.x': 1, 'a.z': 'text' }, { _id: 1, a: [{ z: 'text' }, { x: 2, z: 'text' }] }],
  [{ a: [{ x: 1, 0: 2 }, 3] }, { b: '$a.x', c: '$a.0' }, { _id: 1, b: [1], c: [2] }],
  [{ a: 1 }, { b: ['$a', '$missing'] }, { _id: 1, b: [1, null] }],
  [{ a: Decimal128.fromString('1.5') }, { b: 'text' }, { _id: 1, b: 'text' }],
  [{ a: 1, b: { c: 1, d: 2 } }, { b: { c: 1 } }, { _id: 1, b: { c: 1 } }],
  [
    { a: 1, b: 2 },
    { _id: 1, a: 0 },
    { _id: 1, b: 2 },
  ],
  [{ a: 1 }, { a: 1, _id: 'x' }, { a: 1, _id: 'x' }],
  [{ a: 1 }, { a: 1, b: 0 }, 31254],
  [{ a: 1 }, { a: 0, b: 1 }, 31253],
  [{ a: 1 }, { a: 0, b: 'text' }, 31310],
  [{ a: 1 }, { a: 0, b: { $literal: 1 } }, 31252],
  [{ a: 1 }, { a: 1, 'a.b': 1 }, 31249],
  [{ a: 1 }, { 'a.b': 1, a: 1 }, 31250],
  [{ a: 1 }, { 'a.b': 1, a: 0 }, 31250],
  [{ a: 1 }, { a: {} }, 51270],
  [{ a: 1 }, { a: { b: {} } }, 51270],
  [{ a: 1 }, { a: { $nonsense: 1 } }, 31325],
  [{ a: 1 }, { a: { b: 1, $literal: 1 } }, 16410],
  [{ a: 1 }, { a: '$' }, 16872],
  [{ a: 1 }, { a: '$$nonsense' }, 17276],
  [{ a: 1 }, { a: { $size: '$missing' } }, 17124],
  [{ a: 1 }, { a: { $slice: [1] } }, 28667],
  [{ a: 1 }, { '': 1 }, 40352],
  [{ a: 1 }, { 'a.': 1 }, 40353],
  [{ a: 1 }, { 'a..b': 1 }, 15998],
  [{ a: 1 }, { $a: 1 }, 16410],
  [{ a: 1 }, { 'a.$.b': 1 }, 31394],
]

const list = { a: [1, 2, 3], b: 2 }

const FIND: Row[] = [
  [list, { a: { $slice: 1 } }, { _id: 1, a: [1], b: 2 }],
  [list, { a: { $slice: [-2, 1] } }, { _id: 1, a: [2], b: 2 }],
  [list, { a: { $slice: 1 }, _id: 1 }, { _id: 1, a: [1] }],
  [list, { a: { $slice: 'x' } }, 28667],
  [list, { a: { $slice: ['$a', 1] }, b: 1 }, { _id: 1, b: 2, a: [1] }],
  [list, { a: { $slice: [1, 0] } }, 28724],
  [list, { b: 0, a: { $slice: [1] } }, 31252],
  [list, { a: { $elemMatch: { $gt: 1 } } }, { _id: 1, a: [2] }],
  [list, { a: { $elemMatch: { $gt: 1 } }, b: 1 }, { _id: 1, b: 2, a: [2] }],
  [list, { a: { $elemMatch: { $gt: 1 } }, _id: 0 }, { a: [2] }],
  [list, { a: { $elemMatch: { $gt: 1 } }, b: 0 }, { _id: 1, a: [2] }],
  [list, { a: { $elemMatch: { $gt: 5 } }, c: 0 }, { _id: 1, b: 2 }],
  [list, { a: { $elemMatch: 1 } }, 31274],
  [list, { 'a.b': { $elemMatch: { $gt: 1 } } }, 31275],
  [list, { 'a.$': 1, b: { $elemMatch: { $gt: 1 } } }, 31255],
  [list, { b: { $elemMatch: { $gt: 1 } }, 'a.$': 1 }, 31256],
  [list, { 'a.$': 1, 'b.$': 1 }, 31276],
  [list, { 'a.$': { $slice: 1 } }, 31271],
  [list, { 'a.$': '$b' }, 31308],
  [list, { 'a.$': 0 }, 31395],
]

const STAGE: Row[] = [
  [list, { a: { $elemMatch: { $gt: 1 } } }, 168],
  [list, { 'a.$': 1 }, 31324],
  [list, {}, 51272],
  [
    { b: 1, a: 2 },
    { c: '$b', a: 1, b: 1 },
    { _id: 1, b: 1, a: 2, c: 1 },
  ],
]

const inFind = async ([document, projection, result]: Row): Promise<void> => {
  await things().insertOne({ _id: 1, ...document })
  expect(await outcome(things().find({}, { projection }).toArray())).toEqual(result)
}

const inStage = async ([document, projection, result]: Row): Promise<void> => {
  await things().insertOne({ _id: 1, ...document })
  expect(
    await outcome(
      things()
        .aggregate([{ $project: projection }])
        .toArray(),
    ),
  ).toEqual(result)
}

describe('a find', () => {
  test.for([...BOTH, ...FIND])('%j', inFind)
})

describe('$project', () => {
  test.for([...BOTH, ...STAGE])('%j', inStage)
})

test('fields keep their order, computed ones come last', async () => {
  await things().insertOne({ _id: 1, a: 1, b: 2, c: 3 })
  const [found] = await things()
    .find({}, { projection: { d: 'x', b: '$a', c: 1, 'a.x': 'y' } })
    .toArray()
  expect(Object.keys(found as Document)).toEqual(['_id', 'a', 'c', 'd', 'b'])
})

test('what is passed on by $unwind, $group and expressions keeps its type', async () => {
  await things().insertOne({ _id: 1, a: [Long.fromNumber(3), 4], big: Long.MAX_VALUE })
  const stages = [
    { $unwind: { path: '$a', includeArrayIndex: 'i' } },
    { $set: { copy: { $cond: [{ $gt: ['$big', 1] }, '$big', 0] } } },
    { $group: { _id: '$a', first: { $first: '$copy' }, i: { $max: '$i' } } },
    { $sort: { _id: 1 } },
  ]
  const [first] = await things().aggregate(stages, { promoteValues: false }).toArray()
  expect(first).toEqual({ _id: Long.fromNumber(3), first: Long.MAX_VALUE, i: Long.fromNumber(0) })
})

test.for<[stage: Document, code: number]>([
  [{ $set: { a: { 'b.c': 1 } } }, 40183],
  [{ $set: { a: { $add: 1, b: 1 } } }, 40181],
  [{ $set: 1 }, 40272],
  [{ $unset: [] }, 31119],
  [{ $unset: [1] }, 31120],
  [{ $unset: 1 }, 31002],
  [{ $unset: ['a', 'a.b'] }, 31249],
  [{ $replaceRoot: 1 }, 40229],
  [{ $replaceRoot: {} }, 40414],
  [{ $unwind: 'a' }, 28818],
  [{ $unwind: {} }, 28812],
  [{ $set: { a: '$$' } }, 9],
  [{ $set: { a: [{ $add: [1], b: 1 }] } }, 15983],
  [{ $set: { a: [{ b: 1, $add: [1] }] } }, 16410],
  [{ $set: { a: { $eq: [1] } } }, 16020],
  [{ $set: { a: { $map: { input: '$a', as: 'one', in: '$$this' } } } }, 17276],
])('%j is refused also where there is no document', async ([stage, code]) => {
  expect((await serverError(things().aggregate([stage]).toArray())).code).toBe(code)
})
