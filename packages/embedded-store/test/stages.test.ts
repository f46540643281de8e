import type { Document } from 'mongodb'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestStore, type TestStore } from './lab.ts'

/** Data and results are those of the manual: https://www.mongodb.com/docs/manual/reference/operator/aggregation-pipeline/ */
let lab: TestStore
type Thing = Document & { _id: number | string }
const fresh = async (name: string, documents: Document[]) => {
  const collection = lab.db.collection<Thing>(name)
  await collection.drop()
  await collection.insertMany(documents as Thing[])
  return collection
}
const run = (name: string, pipeline: Document[]) => lab.db.collection(name).aggregate(pipeline).toArray()

beforeAll(async () => {
  lab = await startTestStore()
})
afterAll(() => lab.stop())

test('$lookup joins by equal fields, arrays by their elements, and null with what is missing', async () => {
  await fresh('orders', [
    { _id: 1, item: 'almonds', price: 12, quantity: 2 },
    { _id: 2, item: 'pecans', price: 20, quantity: 1 },
    { _id: 3 },
  ])
  const inventory = [
    { _id: 1, sku: 'almonds', instock: 120 },
    { _id: 2, sku: 'bread', instock: 80 },
    { _id: 4, sku: 'pecans', instock: 70 },
    { _id: 5, sku: null },
    { _id: 6 },
  ]
  await fresh('inventory', inventory)
  const found = await run('orders', [
    { $lookup: { from: 'inventory', localField: 'item', foreignField: 'sku', as: 'docs' } },
  ])
  expect(found.map(({ docs }) => docs as unknown)).toEqual([
    [inventory[0]],
    [inventory[2]],
    [inventory[3], inventory[4]],
  ])
  await fresh('classes', [{ _id: 1, enrollmentlist: ['giraffe2', 'pandabear', 'artie'] }])
  await fresh('members', [
    { _id: 1, name: 'artie' },
    { _id: 2, name: 'giraffe' },
    { _id: 3, name: 'pandabear' },
  ])
  const [joined] = await run('classes', [
    { $lookup: { from: 'members', localField: 'enrollmentlist', foreignField: 'name', as: 'enrollee.info' } },
  ])
  expect((joined!['enrollee'] as { info: Document[] }).info.map(({ name }) => name as string)).toEqual([
    'artie',
    'pandabear',
  ])
})

test('$lookup with let and a pipeline sees the document that it is for', async () => {
  await fresh('wanted', [
    { _id: 1, item: 'a', ordered: 2 },
    { _id: 2, item: 'b', ordered: 60 },
  ])
  await fresh('stock', [
    { _id: 1, item: 'a', instock: 120 },
    { _id: 2, item: 'a', instock: 1 },
    { _id: 3, item: 'b', instock: 40 },
  ])
  const enough = { $expr: { $and: [{ $eq: ['$item', '$$item'] }, { $gte: ['$instock', '$$needed'] }] } }
  const found = await run('wanted', [
    {
      $lookup: {
        from: 'stock',
        let: { item: '$item', needed: '$ordered' },
        pipeline: [{ $match: enough }, { $project: { _id: 0, item: 0 } }],
        as: 'stock',
      },
    },
  ])
  expect(found.map(({ stock }) => stock as unknown)).toEqual([[{ instock: 120 }], []])
})

test('$graphLookup follows a field until nothing new is found', async () => {
  await fresh('employees', [
    { _id: 1, name: 'Dev' },
    { _id: 2, name: 'Eliot', reportsTo: 'Dev' },
    { _id: 3, name: 'Ron', reportsTo: 'Eliot' },
    { _id: 4, name: 'Andrew', reportsTo: 'Eliot' },
    { _id: 5, name: 'Asya', reportsTo: 'Ron' },
  ])
  const graph = {
    from: 'employees',
    startWith: '$reportsTo',
    connectFromField: 'reportsTo',
    connectToField: 'name',
    as: 'chain',
  }
  const names = async (more: Document) =>
    (await run('employees', [{ $match: { _id: 5 } }, { $graphLookup: { ...graph, ...more } }]))[0]?.[
      'chain'
    ] as Document[]
  expect((await names({})).map(({ name }) => name as string).toSorted()).toEqual(['Dev', 'Eliot', 'Ron'])
  expect(
    (await names({ maxDepth: 1, depthField: 'depth' })).map(({ name, depth }) => [name, Number(depth)]).toSorted(),
  ).toEqual([
    ['Eliot', 1],
    ['Ron', 0],
  ])
  expect(
    (await names({ restrictSearchWithMatch: { name: { $ne: 'Eliot' } } })).map(({ name }) => name as string),
  ).toEqual(['Ron'])
})

test('$unionWith adds another collection, and $documents brings its own', async () => {
  await fresh('first', [{ _id: 1, a: 1 }])
  await fresh('second', [
    { _id: 1, a: 2 },
    { _id: 2, a: 3 },
  ])
  expect(await run('first', [{ $unionWith: 'second' }, { $sort: { a: 1 } }])).toHaveLength(3)
  const union = { coll: 'second', pipeline: [{ $match: { a: 3 } }, { $project: { _id: 0 } }] }
  expect(await run('first', [{ $project: { _id: 0 } }, { $unionWith: union }])).toEqual([{ a: 1 }, { a: 3 }])
  expect(await lab.db.aggregate([{ $documents: [{ x: 10 }, { x: 2 }] }, { $sort: { x: 1 } }]).toArray()).toEqual([
    { x: 2 },
    { x: 10 },
  ])
})

test('$redact keeps, prunes and descends', async () => {
  await fresh('forecasts', [
    {
      _id: 1,
      tags: ['G', 'STLW'],
      subsections: [
        { subtitle: 'one', tags: ['SI', 'G'], content: 'a' },
        { subtitle: 'two', tags: ['STLW'], content: 'b' },
        { subtitle: 'three', tags: ['TK'], content: { text: 'c', tags: ['HCS'] } },
      ],
    },
  ])
  const isSeen = { $gt: [{ $size: { $setIntersection: ['$tags', ['STLW', 'G']] } }, 0] }
  const [found] = await run('forecasts', [{ $redact: { $cond: [isSeen, '$$DESCEND', '$$PRUNE'] } }])
  expect((found!['subsections'] as Document[]).map(({ subtitle }) => subtitle as string)).toEqual(['one', 'two'])
  expect(await run('forecasts', [{ $redact: '$$PRUNE' }])).toEqual([])
})

const cakes = [
  { _id: 0, type: 'chocolate', orderDate: new Date('2020-05-18T14:10:30Z'), state: 'CA', price: 13, quantity: 120 },
  { _id: 1, type: 'chocolate', orderDate: new Date('2021-03-20T11:30:05Z'), state: 'WA', price: 14, quantity: 140 },
  { _id: 2, type: 'vanilla', orderDate: new Date('2021-01-11T06:31:15Z'), state: 'CA', price: 12, quantity: 145 },
  { _id: 3, type: 'vanilla', orderDate: new Date('2020-02-08T13:13:23Z'), state: 'WA', price: 13, quantity: 104 },
  { _id: 4, type: 'strawberry', orderDate: new Date('2019-05-18T16:09:01Z'), state: 'CA', price: 41, quantity: 162 },
  { _id: 5, type: 'strawberry', orderDate: new Date('2019-01-08T06:12:03Z'), state: 'WA', price: 43, quantity: 134 },
]

test('$setWindowFields computes over the documents around each', async () => {
  await fresh('cakes', cakes)
  const column = async (spec: Document, sortBy: Document = { orderDate: 1 }) =>
    (await run('cakes', [{ $setWindowFields: { partitionBy: '$state', sortBy, output: { x: spec } } }])).map(
      ({ _id, x }) => [_id, x] as unknown,
    )
  expect(await column({ $sum: '$quantity', window: { documents: ['unbounded', 'current'] } })).toEqual([
    [4, 162],
    [0, 282],
    [2, 427],
    [5, 134],
    [3, 238],
    [1, 378],
  ])
  expect(await column({ $avg: '$quantity', window: { documents: [-1, 0] } })).toEqual([
    [4, 162],
    [0, 141],
    [2, 132.5],
    [5, 134],
    [3, 119],
    [1, 122],
  ])
  expect(await column({ $sum: '$quantity', window: { range: [-10, 10] } }, { price: 1 })).toEqual([
    [2, 265],
    [0, 265],
    [4, 162],
    [3, 244],
    [1, 244],
    [5, 134],
  ])
  expect(await column({ $push: '$orderDate', window: { range: ['unbounded', -10], unit: 'month' } })).toEqual([
    [4, []],
    [0, [cakes[4]?.orderDate]],
    [2, [cakes[4]?.orderDate]],
    [5, []],
    [3, [cakes[5]?.orderDate]],
    [1, [cakes[5]?.orderDate, cakes[3]?.orderDate]],
  ])
  expect(await column({ $rank: {} }, { quantity: -1 })).toEqual([
    [4, 1],
    [2, 2],
    [0, 3],
    [1, 1],
    [5, 2],
    [3, 3],
  ])
  expect(await column({ $shift: { output: '$quantity', by: 1, default: 'none' } }, { quantity: -1 })).toEqual([
    [4, 145],
    [2, 120],
    [0, 'none'],
    [1, 134],
    [5, 104],
    [3, 'none'],
  ])
  const ranked = await fresh(
    'ranked',
    [3, 1, 3, 2].map((n, _id) => ({ _id, n })),
  )
  const ranks = { r: { $rank: {} }, d: { $denseRank: {} }, no: { $documentNumber: {} } }
  const found = await ranked.aggregate([{ $setWindowFields: { sortBy: { n: -1 }, output: ranks } }]).toArray()
  expect(found.map(({ r, d, no }) => [r, d, no] as unknown)).toEqual([
    [1, 1, 1],
    [1, 1, 2],
    [3, 2, 3],
    [4, 3, 4],
  ])
})

test('$derivative, $integral and moving averages are over time', async () => {
  const at = (minutes: number) => new Date(Date.UTC(2020, 4, 18, 14, minutes))
  await fresh('trucks', [
    { _id: 1, timeStamp: at(10), miles: 1295.1, kilowatts: 2.95 },
    { _id: 2, timeStamp: at(11), miles: 1295.63, kilowatts: 2.7 },
    { _id: 3, timeStamp: at(12), miles: 1296.25, kilowatts: 2.6 },
    { _id: 4, timeStamp: at(13), miles: 1296.76, kilowatts: 2.98 },
  ])
  const output = {
    speed: { $derivative: { input: '$miles', unit: 'hour' }, window: { documents: [-1, 0] } },
    energy: { $integral: { input: '$kilowatts', unit: 'hour' }, window: { documents: ['unbounded', 'current'] } },
    average: { $expMovingAvg: { input: '$kilowatts', N: 2 } },
  }
  const found = await run('trucks', [{ $setWindowFields: { sortBy: { timeStamp: 1 }, output } }])
  const rounded = (field: string) =>
    found.map((doc) => (doc[field] === null ? null : Math.round(Number(doc[field]) * 1000) / 1000))
  expect(rounded('speed')).toEqual([null, 31.8, 37.2, 30.6])
  expect(rounded('energy')).toEqual([0, 0.047, 0.091, 0.138])
  expect(rounded('average')).toEqual([2.95, 2.783, 2.661, 2.874])
})

test('$fill takes a value, the last one, or one on the way', async () => {
  await fresh('stocks', [
    { _id: 1, t: 9, price: 500 },
    { _id: 2, t: 11, price: 515 },
    { _id: 3, t: 12 },
    { _id: 4, t: 13 },
    { _id: 5, t: 17, price: 485 },
  ])
  const filled = async (output: Document) =>
    (await run('stocks', [{ $fill: { sortBy: { t: 1 }, output: { price: output } } }])).map(
      ({ price }) => price as number,
    )
  expect(await filled({ method: 'locf' })).toEqual([500, 515, 515, 515, 485])
  expect(await filled({ method: 'linear' })).toEqual([500, 515, 510, 505, 485])
  expect(await filled({ value: 0 })).toEqual([500, 515, 0, 0, 485])
})

test('$densify fills gaps in numbers and times', async () => {
  const hour = (n: number) => new Date(Date.UTC(2021, 4, 18, n))
  await fresh('weather', [
    { _id: 1, timestamp: hour(0), temp: 12 },
    { _id: 2, timestamp: hour(4), temp: 11 },
  ])
  const bounds = [hour(0), hour(8)]
  const times = await run('weather', [{ $densify: { field: 'timestamp', range: { step: 1, unit: 'hour', bounds } } }])
  expect(times.map(({ timestamp }) => timestamp as Date)).toEqual([0, 1, 2, 3, 4, 5, 6, 7].map(hour))
  await fresh('coffee', [
    { _id: 1, altitude: 600, variety: 'A', score: 68.3 },
    { _id: 2, altitude: 750, variety: 'A', score: 69.5 },
    { _id: 3, altitude: 950, variety: 'A', score: 70.5 },
    { _id: 4, altitude: 1250, variety: 'G', score: 88.15 },
  ])
  const range = { bounds: 'partition', step: 100 }
  const dense = await run('coffee', [{ $densify: { field: 'altitude', partitionByFields: ['variety'], range } }])
  expect(dense.map(({ altitude }) => altitude as number)).toEqual([600, 700, 750, 800, 900, 950, 1250])
  expect(dense[1]).toEqual({ altitude: 700, variety: 'A' })
})
