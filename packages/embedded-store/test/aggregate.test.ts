import { afterAll, beforeAll, expect, test } from 'vitest'
import { serverError, startTestStore, testEmbedded, type TestStore } from './lab.ts'

let lab: TestStore
type Sale = { _id: number; item: string; n: number; at: Date; tags: string[] }
const sales = () => lab.db.collection<Sale>('sales')

beforeAll(async () => {
  lab = await startTestStore()
  await sales().insertMany(
    Array.from({ length: 1000 }, (_, i) => ({
      _id: i,
      item: `item${i % 3}`,
      n: i,
      at: new Date(i * 3_600_000),
      tags: i % 2 ? ['odd'] : ['even', 'two'],
    })),
  )
  await sales().createIndex({ item: 1, n: 1 })
})
afterAll(() => lab.stop())

test('groups are computed over the documents that match', async () => {
  const found = await sales()
    .aggregate([
      { $match: { n: { $lt: 10 } } },
      {
        $group: {
          _id: '$item',
          total: { $sum: '$n' },
          count: { $sum: 1 },
          most: { $max: '$n' },
          least: { $min: '$n' },
          mean: { $avg: '$n' },
          all: { $push: '$n' },
          first: { $first: '$n' },
        },
      },
      { $sort: { _id: 1 } },
    ])
    .toArray()
  expect(found).toEqual([
    { _id: 'item0', total: 18, count: 4, most: 9, least: 0, mean: 4.5, all: [0, 3, 6, 9], first: 0 },
    { _id: 'item1', total: 12, count: 3, most: 7, least: 1, mean: 4, all: [1, 4, 7], first: 1 },
    { _id: 'item2', total: 15, count: 3, most: 8, least: 2, mean: 5, all: [2, 5, 8], first: 2 },
  ])
})

testEmbedded('a leading match, sort and limit use an index', async () => {
  const plan = await sales()
    .aggregate([{ $match: { item: 'item1' } }, { $sort: { n: -1 } }, { $limit: 5 }, { $project: { n: 1 } }])
    .explain()
  expect(plan['executionStats']).toMatchObject({ totalDocsExamined: 5 })
})

test('documents are reshaped, unwound, counted and bucketed', async () => {
  expect(
    await sales()
      .aggregate([{ $match: { _id: 4 } }, { $unwind: '$tags' }, { $project: { _id: 0, tag: { $toUpper: '$tags' } } }])
      .toArray(),
  ).toEqual([{ tag: 'EVEN' }, { tag: 'TWO' }])
  expect(
    await sales()
      .aggregate([{ $unwind: '$tags' }, { $sortByCount: '$tags' }])
      .toArray(),
  ).toHaveLength(3)
  expect(
    await sales()
      .aggregate([{ $match: { n: { $gte: 990 } } }, { $count: 'n' }])
      .toArray(),
  ).toEqual([{ n: 10 }])
  expect(
    await sales()
      .aggregate([
        { $set: { double: { $multiply: ['$n', 2] } } },
        { $match: { double: 8 } },
        { $unset: ['at', 'tags'] },
      ])
      .toArray(),
  ).toEqual([{ _id: 4, item: 'item1', n: 4, double: 8 }])
  expect(
    await sales()
      .aggregate([
        { $group: { _id: { $dateToString: { date: '$at', format: '%Y-%m-%d' } }, n: { $sum: 1 } } },
        { $sort: { _id: 1 } },
        { $limit: 1 },
      ])
      .toArray(),
  ).toEqual([{ _id: '1970-01-01', n: 24 }])
  expect(
    await sales()
      .aggregate([{ $facet: { few: [{ $limit: 2 }, { $project: { _id: 1 } }], all: [{ $count: 'n' }] } }])
      .toArray(),
  ).toEqual([{ few: [{ _id: 0 }, { _id: 1 }], all: [{ n: 1000 }] }])
  expect(
    await sales()
      .aggregate([{ $bucket: { groupBy: '$n', boundaries: [0, 100, 1000], output: { count: { $sum: 1 } } } }])
      .toArray(),
  ).toEqual([
    { _id: 0, count: 100 },
    { _id: 100, count: 900 },
  ])
})

test('results come in batches', async () => {
  const cursor = sales().aggregate([{ $match: {} }, { $set: { x: 1 } }], { batchSize: 10 })
  expect(await cursor.toArray()).toHaveLength(1000)
})

test('$expr compares fields', async () => {
  expect(await sales().countDocuments({ $expr: { $eq: ['$n', { $multiply: ['$_id', 1] }] } })).toBe(1000)
  expect(await sales().countDocuments({ $expr: { $gt: ['$n', 997] } })).toBe(2)
})

testEmbedded('what the store does not have is refused, also on an empty collection', async () => {
  const none = lab.db.collection('none')
  const refused: [object, number][] = [
    [{ $geoNear: { near: [0, 0], distanceField: 'd' } }, 238],
    [{ $group: { _id: 1, a: { $accumulator: { init: 'x' } } } }, 238],
    [{ $changeStream: {} }, 40573],
    [{ $nonsense: 1 }, 40324],
    [{ $set: { a: { $nonsense: 1 } } }, 168],
    [{ $project: { a: { $function: { body: '', args: [], lang: 'js' } } } }, 238],
    [{ $match: { $where: '1' } }, 238],
  ]
  for (const [stage, code] of refused)
    expect((await serverError(none.aggregate([stage]).toArray())).code, JSON.stringify(stage)).toBe(code)
})
