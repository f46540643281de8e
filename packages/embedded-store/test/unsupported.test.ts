import type { Document } from 'mongodb'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { serverError, startTestStore, testEmbedded, type TestStore } from './lab.ts'

/** Parts of MongoDB that the store does not have: each is refused, also where there is no document, never ignored. */
let lab: TestStore
beforeAll(async () => {
  lab = await startTestStore()
})
afterAll(() => lab.stop())

const find = (part: Document): Document => ({ find: 'none', ...part })
const stages = (...pipeline: Document[]): Document => ({ aggregate: 'none', pipeline, cursor: {} })
const update = (u: unknown, more: Document = {}): Document => ({ update: 'none', updates: [{ q: {}, u, ...more }] })
const index = (spec: Document): Document => ({
  createIndexes: 'none',
  indexes: [{ key: { a: 1 }, name: 'a', ...spec }],
})

const STAGES = (
  '$addFields $bucket $bucketAuto $densify $facet $fill $geoNear $graphLookup $indexStats $lookup $merge $out ' +
  '$redact $replaceRoot $replaceWith $sample $search $set $setWindowFields $sortByCount $unionWith $unset $unwind'
).split(' ')

const ACCUMULATORS = (
  '$accumulator $addToSet $avg $bottom $first $firstN $last $max $median $mergeObjects $min $percentile $push ' +
  '$stdDevPop $top $topN'
).split(' ')

const NOT_IMPLEMENTED: Record<string, Document[]> = {
  stages: [...STAGES.map((name) => stages({ [name]: {} })), stages({ $match: {} }, { $changeStream: {} })],
  accumulators: ACCUMULATORS.map((name) => stages({ $group: { _id: null, x: { [name]: '$a' } } })),
  expressions: [
    find({ filter: { $expr: { $gt: ['$a', '$b'] } } }),
    find({ filter: { $or: [{ a: 1 }, { $expr: true }] } }),
    stages({ $match: { $expr: true } }),
    stages({ $group: { _id: { $dateToString: { date: '$at' } } } }),
    stages({ $group: { _id: { day: { $dayOfWeek: '$at' } } } }),
    stages({ $group: { _id: '$$ROOT' } }),
    stages({ $group: { _id: ['$a', '$b'] } }),
    stages({ $group: { _id: null, x: { $sum: { $multiply: ['$a', 2] } } } }),
    stages({ $project: { x: { $add: ['$a', 1] } } }),
    stages({ $project: { x: '$a' } }),
    stages({ $project: { x: 'text' } }),
    stages({ $project: { x: ['$a'] } }),
  ],
  projections: [
    find({ projection: { a: { $slice: 1 } } }),
    find({ projection: { a: { $elemMatch: { b: 1 } } } }),
    find({ projection: { 'a.$': 1 } }),
    find({ projection: { score: { $meta: 'textScore' } } }),
    find({ projection: { a: '$b' } }),
    find({ sort: { score: { $meta: 'textScore' } } }),
  ],
  filters: [
    find({ filter: { $where: '1' } }),
    find({ filter: { $text: { $search: 'x' } } }),
    find({ filter: { $jsonSchema: {} } }),
    find({ filter: { a: { $near: [0, 0] } } }),
    find({ filter: { a: { $geoWithin: {} } } }),
    ...['$bitsAllSet', '$bitsAllClear', '$bitsAnySet', '$bitsAnyClear'].map((name) =>
      find({ filter: { a: { [name]: 1 } } }),
    ),
    find({ filter: { $alwaysFalse: 1 } }),
  ],
  updates: [
    update([{ $set: { a: 1 } }]),
    update([]),
    { findAndModify: 'none', update: [{ $set: { a: 1 } }] },
    { findAndModify: 'none', update: { a: 1 }, let: { x: 1 } },
  ],
  options: [
    find({ collation: { locale: 'de' } }),
    find({ let: { x: 1 } }),
    find({ tailable: true }),
    find({ returnKey: true }),
    find({ min: { a: 1 } }),
    find({ readConcern: { level: 'snapshot' } }),
    { ...stages(), let: { x: 1 } },
    { create: 'view', viewOn: 'things', pipeline: [] },
    { create: 'ring', capped: true, size: 4096 },
    { create: 'times', timeseries: { timeField: 't' } },
    { create: 'valid', validator: { a: 1 } },
    index({ expireAfterSeconds: 5 }),
    index({ key: { a: 'text' } }),
    index({ key: { a: '2dsphere' } }),
    index({ key: { a: 'hashed' } }),
    index({ key: { '$**': 1 } }),
    index({ collation: { locale: 'de' } }),
    index({ hidden: true }),
  ],
}

describe.each(Object.keys(NOT_IMPLEMENTED))('%s', (area) => {
  testEmbedded.for(NOT_IMPLEMENTED[area]!)('%j is not implemented', async (command) => {
    expect(await serverError(lab.db.command(command))).toMatchObject({ code: 238, codeName: 'NotImplemented' })
  })
})

testEmbedded.for<[u: Document, started: Document]>([
  [{ $bit: { a: { and: 1 } } }, { a: 1 }],
  [{ $inc: { a: 1 } }, { a: { $numberDecimal: '1.5' } }],
])('the update %j is refused and changes nothing', async ([u, started]) => {
  const { EJSON } = await import('bson')
  const things = lab.db.collection('things')
  await things.deleteMany({})
  await things.insertOne(EJSON.deserialize(started))
  const before = await things.findOne()
  expect((await serverError(things.updateOne({}, u))).code).toBe(238)
  expect(await things.findOne()).toEqual(before)
})

/** Commands and fields that the store does not know have the codes that MongoDB has for them. */
testEmbedded.for<[command: Document, code: number]>([
  [{ mapReduce: 'none' }, 59],
  [{ createUser: 'x' }, 59],
  [{ collMod: 'none' }, 59],
  [{ renameCollection: 'test.none' }, 59],
  [{ aggregate: 1, pipeline: [{ $currentOp: {} }], cursor: {} }, 73],
  [stages({ $nonsense: 1 }), 40324],
  [stages({ $group: { _id: null, x: { $nonsense: 1 } } }), 15952],
  [find({ filter: { a: { $nonsense: 1 } } }), 2],
  [update({ $nonsense: { a: 1 } }), 9],
  [find({ nonsense: 1 }), 40415],
  [find({ txnNumber: 1 }), 20],
])('%j is refused with %i', async ([command, code]) => {
  const answer = await lab.db.command(command).catch((error: unknown) => error as Document)
  expect((answer as Document)['code'] ?? (answer as Document)['writeErrors']?.[0]?.code).toBe(code)
})
