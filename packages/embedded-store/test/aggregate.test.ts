import { Long } from 'mongodb'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestStore, testEmbedded, type TestStore } from './lab.ts'

let lab: TestStore
type Sale = { _id: number; item: string; n: number; tags: string[] }
const sales = () => lab.db.collection<Sale>('sales')

beforeAll(async () => {
  lab = await startTestStore()
  await sales().insertMany(
    Array.from({ length: 1000 }, (_, i) => ({
      _id: i,
      item: `item${i % 3}`,
      n: i,
      tags: i % 2 ? ['odd'] : ['even', 'two'],
    })),
  )
  await sales().createIndex({ item: 1, n: 1 })
})
afterAll(() => lab.stop())

test('groups by a field have sums of another', async () => {
  const found = await sales()
    .aggregate([
      { $match: { n: { $lt: 10 } } },
      { $group: { _id: '$item', total: { $sum: '$n' }, count: { $sum: 1 }, all: { $count: {} } } },
      { $sort: { _id: 1 } },
    ])
    .toArray()
  expect(found).toEqual([
    { _id: 'item0', total: 18, count: 4, all: 4 },
    { _id: 'item1', total: 12, count: 3, all: 3 },
    { _id: 'item2', total: 15, count: 3, all: 3 },
  ])
})

test('groups are by several fields, by an array as a whole, and by null where the field is missing', async () => {
  const things = lab.db.collection('things')
  await things.insertMany([{ a: 1, b: { c: 'x' } }, { a: 1, b: { c: 'x' } }, { a: 1 }, { b: [{ c: 1 }, { c: 2 }, 5] }])
  const groups = async (_id: unknown) =>
    (await things.aggregate([{ $group: { _id, n: { $sum: 1 } } }, { $sort: { n: -1, _id: 1 } }]).toArray()).map(
      (found) => [found['_id'], found['n']],
    )
  expect(await groups({ a: '$a', c: '$b.c' })).toEqual([
    [{ a: 1, c: 'x' }, 2],
    [{ a: 1 }, 1],
    [{ c: [1, 2] }, 1],
  ])
  expect(await groups('$a')).toEqual([
    [1, 3],
    [null, 1],
  ])
  expect(await groups(null)).toEqual([[null, 4]])
})

test('sums keep the type of their numbers, grow to int64, and pass by what is no number', async () => {
  const numbers = lab.db.collection('numbers')
  await numbers.insertMany([{ a: 2147483647, b: 1.5, c: Long.fromNumber(7) }, { a: 1, b: 1, c: 'x' }, { a: null }])
  const [found] = await numbers
    .aggregate([{ $group: { _id: null, a: { $sum: '$a' }, b: { $sum: '$b' }, c: { $sum: '$c' } } }], {
      promoteValues: false,
    })
    .toArray()
  expect([found?.['a'], found?.['b'], found?.['c']].map((value) => [value._bsontype, Number(value)])).toEqual([
    ['Long', 2147483648],
    ['Double', 2.5],
    ['Long', 7],
  ])
})

test('stages follow each other in any order', async () => {
  const found = await sales()
    .aggregate([
      { $sort: { n: -1 } },
      { $limit: 10 },
      { $match: { item: 'item0' } },
      { $sort: { n: 1 } },
      { $skip: 1 },
      { $project: { n: 1, _id: 0 } },
    ])
    .toArray()
  expect(found).toEqual([{ n: 993 }, { n: 996 }, { n: 999 }])
  expect(
    await sales()
      .aggregate([{ $match: { tags: 'two' } }, { $count: 'n' }])
      .toArray(),
  ).toEqual([{ n: 500 }])
  expect(
    await sales()
      .aggregate([{ $match: { tags: 'none' } }, { $count: 'n' }])
      .toArray(),
  ).toEqual([])
})

testEmbedded('a leading match, sort and limit use an index', async () => {
  const plan = await sales()
    .aggregate([{ $match: { item: 'item1' } }, { $sort: { n: -1 } }, { $limit: 5 }, { $project: { n: 1 } }])
    .explain()
  expect(plan['executionStats']).toMatchObject({ totalDocsExamined: 5 })
})

test('results come in batches', async () => {
  const cursor = sales().aggregate([{ $match: {} }, { $project: { tags: 0 } }], { batchSize: 10 })
  expect(await cursor.toArray()).toHaveLength(1000)
})
