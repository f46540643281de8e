import type { Document } from 'mongodb'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { serverError, startTestStore, type TestStore } from './lab.ts'

/** Data and results are those of the manual: https://www.mongodb.com/docs/manual/reference/operator/aggregation/ */
let lab: TestStore
const scores = () => lab.db.collection<Document & { _id: string }>('scores')

beforeAll(async () => {
  lab = await startTestStore()
  await scores().insertMany([
    { _id: 'a', playerId: 'PlayerA', gameId: 'G1', score: 31 },
    { _id: 'b', playerId: 'PlayerB', gameId: 'G1', score: 33 },
    { _id: 'c', playerId: 'PlayerC', gameId: 'G1', score: 99 },
    { _id: 'd', playerId: 'PlayerD', gameId: 'G1', score: 1 },
    { _id: 'e', playerId: 'PlayerA', gameId: 'G2', score: 10 },
    { _id: 'f', playerId: 'PlayerB', gameId: 'G2', score: 14 },
    { _id: 'g', playerId: 'PlayerC', gameId: 'G2', score: 66 },
    { _id: 'h', playerId: 'PlayerD', gameId: 'G2', score: 80 },
    { _id: 'i', playerId: 'PlayerE', gameId: 'G3', score: null },
  ])
})
afterAll(() => lab.stop())

const output = ['$playerId', '$score']
const sortBy = { score: -1 }
const GROUPED: [accumulator: Document, g1: unknown, g2: unknown, g3: unknown][] = [
  [{ $top: { output, sortBy } }, ['PlayerC', 99], ['PlayerD', 80], ['PlayerE', null]],
  [{ $bottom: { output, sortBy } }, ['PlayerD', 1], ['PlayerA', 10], ['PlayerE', null]],
  [{ $topN: { output: '$score', sortBy, n: 3 } }, [99, 33, 31], [80, 66, 14], [null]],
  [{ $bottomN: { output: '$score', sortBy, n: 2 } }, [31, 1], [14, 10], [null]],
  [{ $firstN: { input: '$score', n: 2 } }, [31, 33], [10, 14], [null]],
  [{ $lastN: { input: '$score', n: 2 } }, [99, 1], [66, 80], [null]],
  [{ $maxN: { input: '$score', n: 2 } }, [99, 33], [80, 66], []],
  [{ $minN: { input: '$score', n: 2 } }, [1, 31], [10, 14], []],
  [{ $firstN: { input: '$score', n: { $cond: [{ $eq: ['$game', 'G2'] }, 1, 3] } } }, [31, 33, 99], [10], [null]],
  [{ $sum: '$score' }, 164, 170, 0],
  [{ $avg: '$score' }, 41, 42.5, null],
  [{ $max: '$score' }, 99, 80, null],
  [{ $count: {} }, 4, 4, 1],
  [{ $stdDevPop: '$score' }, Math.sqrt(5128 / 4), Math.sqrt(3827 / 4), null],
  [{ $stdDevSamp: { $multiply: ['$score', 1] } }, Math.sqrt(5128 / 3), Math.sqrt(3827 / 3), null],
  [{ $median: { input: '$score', method: 'approximate' } }, 31, 14, null],
  [{ $percentile: { input: '$score', p: [0.5, 0.95], method: 'approximate' } }, [31, 99], [14, 80], [null, null]],
  [{ $mergeObjects: { last: '$playerId' } }, { last: 'PlayerD' }, { last: 'PlayerD' }, { last: 'PlayerE' }],
]

test.for(GROUPED)('groups with %j', async ([accumulator, ...wanted]) => {
  const found = await scores()
    .aggregate([{ $group: { _id: { game: '$gameId' }, x: accumulator } }, { $sort: { _id: 1 } }])
    .toArray()
  for (const [i, { x }] of found.entries()) {
    if (typeof wanted[i] === 'number') expect(x).toBeCloseTo(wanted[i], 10)
    else expect(x).toEqual(wanted[i])
  }
  expect(found).toHaveLength(3)
})

const REFUSED: [stage: Document, code: number][] = [
  [{ $group: { x: { $sum: 1 } } }, 15955],
  [{ $group: 5 }, 15947],
  [{ $group: { _id: 1, x: 5 } }, 40234],
  [{ $group: { _id: 1, x: { $sum: 1, $avg: 1 } } }, 40238],
  [{ $group: { _id: 1, 'x.y': { $sum: 1 } } }, 40235],
  [{ $group: { _id: 1, x: { $unknown: 1 } } }, 15952],
  [{ $limit: 0 }, 15958],
  [{ $skip: -1 }, 5107200],
  [{ $match: 5 }, 15959],
  [{ $sort: {} }, 15976],
  [{ $project: {} }, 51272],
  [{ $count: '' }, 40157],
  [{ $count: '$a' }, 40158],
  [{ $facet: {} }, 40169],
  [{ $bucket: { groupBy: '$a', boundaries: [1] } }, 40192],
  [{ $bucket: { groupBy: '$a', boundaries: [2, 1] } }, 40194],
  [{ $unknown: 1 }, 40324],
  [{ $match: {}, $limit: 1 }, 40323],
]

test('stages that are wrong are refused with the code of MongoDB', async () => {
  for (const [stage, code] of REFUSED)
    expect((await serverError(scores().aggregate([stage]).toArray())).code, JSON.stringify(stage)).toBe(code)
})

test('$out puts its results in the place of a collection, and leaves it as it was when it cannot', async () => {
  const target = lab.db.collection('totals')
  await target.insertOne({ _id: 'old' as never })
  await target.createIndex({ total: 1 }, { unique: true })
  const totals = { $group: { _id: '$gameId', total: { $sum: '$score' } } }
  expect(
    await scores()
      .aggregate([totals, { $out: 'totals' }])
      .toArray(),
  ).toEqual([])
  expect(await target.find().sort({ _id: 1 }).toArray()).toEqual([
    { _id: 'G1', total: 164 },
    { _id: 'G2', total: 170 },
    { _id: 'G3', total: 0 },
  ])
  expect(await target.indexes()).toHaveLength(2)
  const doubled = scores().aggregate([{ $project: { total: { $literal: 1 } } }, { $out: 'totals' }])
  expect((await serverError(doubled.toArray())).code).toBe(11000)
  expect(await target.countDocuments()).toBe(3)
})

test('$merge inserts, merges, replaces, keeps, or fails', async () => {
  const target = lab.db.collection<Document & { _id: string }>('merged')
  const merge = async (options: Document, docs: Document[]) => {
    await target.deleteMany({})
    await target.insertOne({ _id: 'G1', a: 1, b: 1 })
    const source = lab.db.collection('source')
    await source.deleteMany({})
    await source.insertMany(docs)
    await source.aggregate([{ $merge: { into: 'merged', ...options } }]).toArray()
    return target.find().sort({ _id: 1 }).toArray()
  }
  const both = [
    { _id: 'G1', b: 5 },
    { _id: 'G2', b: 6 },
  ] as never[]
  const added = { _id: 'G2', b: 6 }
  expect(await merge({}, both)).toEqual([{ _id: 'G1', a: 1, b: 5 }, added])
  expect(await merge({ whenMatched: 'replace' }, both)).toEqual([{ _id: 'G1', b: 5 }, added])
  expect(await merge({ whenMatched: 'keepExisting' }, both)).toEqual([{ _id: 'G1', a: 1, b: 1 }, added])
  expect(await merge({ whenNotMatched: 'discard' }, both)).toEqual([{ _id: 'G1', a: 1, b: 5 }])
  for (const whenMatched of ['keepExisting', 'fail'])
    for (const whenNotMatched of ['discard', 'fail'])
      expect((await serverError(merge({ whenMatched, whenNotMatched }, both))).code).toBe(51181)
  const pipeline = [{ $set: { b: { $add: ['$b', '$$new.b'] } } }]
  expect(await merge({ whenMatched: pipeline }, both)).toEqual([{ _id: 'G1', a: 1, b: 6 }, added])
  expect((await serverError(merge({ whenMatched: 'fail' }, both))).code).toBe(11000)
  expect((await serverError(merge({ whenNotMatched: 'fail' }, both))).code).toBe(13113)
  expect((await serverError(merge({ on: 'b' }, both))).code).toBe(51183)
})
