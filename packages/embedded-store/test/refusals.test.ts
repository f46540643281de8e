import type { Document } from 'mongodb'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { serverError, startTestStore, type TestStore } from './lab.ts'

let lab: TestStore
beforeAll(async () => {
  lab = await startTestStore()
  await lab.db.command({ insert: 'things', documents: [{ _id: 1, a: 1 }, { _id: 2 }] })
})
afterAll(() => lab.stop())

const index = (spec: Document): Document => ({
  createIndexes: 'things',
  indexes: [{ key: { z: 1 }, name: 'z', ...spec }],
})
const find = (part: Document): Document => ({ find: 'things', ...part })
const remove = (statement: Document): Document => ({ delete: 'things', deletes: [statement] })

const stage = (one: Document): Document => ({ aggregate: 'things', pipeline: [one], cursor: {} })

/** Commands that MongoDB 7.0 refuses as a whole, and its codes. */
const REFUSED: Record<string, [command: Document, code: number][]> = {
  orders: [
    [find({ sort: { a: 2 } }), 15975],
    [find({ sort: { a: 0.5 } }), 15975],
    [find({ sort: { a: 'x' } }), 15974],
    [find({ sort: { a: true } }), 15974],
    [find({ sort: { a: { x: 1 } } }), 17312],
    [find({ sort: { '': 1 } }), 40352],
    [find({ sort: { 'a.': 1 } }), 40353],
    [find({ sort: { 'a..b': 1 } }), 15998],
    [find({ sort: { 'a.$b': 1 } }), 16410],
    [find({ sort: 'x' }), 14],
    [find({ sort: Object.fromEntries(Array.from({ length: 33 }, (_, place) => [`f${place}`, 1])) }), 13103],
    [{ aggregate: 'things', pipeline: [{ $sort: 'x' }], cursor: {} }, 15973],
    [{ aggregate: 'things', pipeline: [{ $sort: {} }], cursor: {} }, 15976],
  ],
  pages: [
    [find({ limit: -1 }), 51024],
    [find({ limit: 'x' }), 14],
    [find({ skip: -1 }), 51024],
    [find({ batchSize: -1 }), 51024],
    [find({ singleBatch: 1 }), 14],
    [find({ hint: 1 }), 9],
    [find({ maxTimeMS: 'x' }), 2],
    [{ count: 'things', skip: -1 }, 51024],
    [{ count: 'things', limit: 1.5 }, 9],
    [{ distinct: 'things' }, 40414],
    [{ distinct: 'things', key: '' }, 40352],
    [{ distinct: 'things', key: '$a' }, 16410],
    [{ getMore: 1 }, 40414],
    [{ killCursors: 'things' }, 40414],
    [{ endSessions: 1 }, 14],
  ],
  names: [
    [{ find: '$things' }, 73],
    [{ find: 'th\0ings' }, 73],
    [{ insert: '.things', documents: [{ _id: 1 }] }, 73],
  ],
  deletions: [
    [remove({ q: {} }), 40414],
    [remove({ limit: 1 }), 40414],
    [remove({ q: 1, limit: 1 }), 14],
    [remove({ q: {}, limit: 2 }), 9],
    [{ insert: 'things', documents: [{ _id: 7 }], ordered: 1 }, 14],
  ],
  indexes: [
    [index({ unique: 'x' }), 14],
    [index({ unique: null }), 14],
    [index({ sparse: [] }), 14],
    [index({ expireAfterSeconds: 'x' }), 67],
    [index({ partialFilterExpression: 1 }), 14],
    [index({ partialFilterExpression: { a: { $exists: false } } }), 67],
    [index({ partialFilterExpression: { a: { $ne: 1 } } }), 67],
    [index({ partialFilterExpression: { a: 1 }, sparse: true }), 67],
    [index({ v: 'x' }), 14],
    [index({ v: 3 }), 67],
    [index({ name: 1 }), 14],
    [index({ name: '' }), 67],
    [index({ collation: {} }), 2],
    [index({ nonsense: 1 }), 197],
    [index({ key: 1 }), 14],
    [index({ key: {} }), 67],
    [index({ key: { a: 0 } }), 67],
    [index({ key: { a: 'x' } }), 67],
    [index({ key: { a: null } }), 67],
    [index({ key: { 'a.$b': 1 } }), 67],
    [index({ key: { _id: -1 } }), 2],
    [index({ key: { _id: 1 }, unique: true }), 197],
    [index({ name: '_id_' }), 2],
    [{ createIndexes: 'things' }, 40414],
    [{ createIndexes: 'things', indexes: 1 }, 14],
    [{ createIndexes: 'things', indexes: [1] }, 14],
    [{ createIndexes: 'things', indexes: [{ name: 'n' }] }, 9],
    [{ createIndexes: 'things', indexes: [{ key: { a: 1 } }] }, 9],
    [{ dropIndexes: 'things' }, 40414],
    [{ dropIndexes: 'things', index: 1 }, 14],
  ],
  aggregation: [
    [{ aggregate: 'things', cursor: {} }, 40414],
    [{ aggregate: 'things', pipeline: [], cursor: 1 }, 14],
    [stage({ $limit: -1 }), 5107201],
    [stage({ $limit: 'x' }), 5107201],
    [stage({ $limit: 0 }), 15958],
    [stage({ $skip: -1 }), 5107200],
    [stage({ $group: { x: { $sum: 1 } } }), 15955],
    [stage({ $group: 5 }), 15947],
    [stage({ $group: { _id: 1, x: 5 } }), 40234],
    [stage({ $group: { _id: 1, x: { $sum: 1, $avg: 1 } } }), 40238],
    [stage({ $group: { _id: 1, 'x.y': { $sum: 1 } } }), 40235],
    [stage({ $group: { _id: 1, x: { $unknown: 1 } } }), 15952],
    [stage({ $group: { _id: '$' } }), 16872],
    [stage({ $match: 5 }), 15959],
    [stage({ $sort: {} }), 15976],
    [stage({ $project: {} }), 51272],
    [stage({ $project: 1 }), 15969],
    [stage({ $count: '' }), 40157],
    [stage({ $count: '$a' }), 40158],
    [stage({ $unknown: 1 }), 40324],
    [stage({ $match: {}, $limit: 1 }), 40323],
    [{ explain: { find: 'things' }, verbosity: 'x' }, 2],
  ],
}

describe.each(Object.keys(REFUSED))('%s', (area) => {
  test.for(REFUSED[area]!)('%j', async ([command, code]) => {
    expect((await serverError(lab.db.command(command))).code).toBe(code)
    expect(await lab.db.command({ count: 'things' })).toMatchObject({ n: 2 })
    expect(await lab.db.collection('things').listIndexes().toArray()).toHaveLength(1)
  })
})

test('names may end with a dot, and an index on _id makes its collection', async () => {
  const made = { createIndexes: 'made.', indexes: [{ key: { _id: 1 }, name: '_id_' }] }
  expect(await lab.db.command(made)).toMatchObject({ numIndexesAfter: 1, createdCollectionAutomatically: true })
  const again = await lab.db.command(made)
  expect(again).toMatchObject({ note: 'all indexes already exist' })
  expect(again).not.toHaveProperty('createdCollectionAutomatically')
})

test('a hint takes a sparse index, also where it has fewer documents', async () => {
  await lab.db.collection('sparse').insertMany([{ a: 1 }, { b: 1 }])
  await lab.db.collection('sparse').createIndex({ a: 1 }, { sparse: true })
  expect(await lab.db.collection('sparse').find().toArray()).toHaveLength(2)
  expect(await lab.db.collection('sparse').find().hint({ a: 1 }).toArray()).toHaveLength(1)
})

test('an order is by the elements of arrays, or by one at its place, and by one array only', async () => {
  const arrays = lab.db.collection<Document & { _id: number }>('arrays')
  await arrays.insertMany([
    { _id: 1, a: [3, 1], b: 1 },
    { _id: 2, a: [2, 4], b: 1 },
    { _id: 3, a: [[]], b: 1 },
    { _id: 4, a: 0, b: 1 },
  ])
  const ids = async (sort: Document): Promise<unknown[]> =>
    (await arrays.find({}, { sort: { ...sort, _id: 1 } }).toArray()).map(({ _id }) => _id)
  expect(await ids({ a: 1 })).toEqual([4, 1, 2, 3])
  expect(await ids({ a: -1 })).toEqual([3, 2, 1, 4])
  expect(await ids({ 'a.0': 1 })).toEqual([3, 4, 2, 1])
  await arrays.insertOne({ _id: 5, a: [1], b: [1] })
  expect((await serverError(ids({ a: 1, b: 1 }))).code).toBe(2)
  expect((await serverError(ids({ 'a.0': 1, b: 1 }))).code).toBe(2)
  await arrays.insertOne({ _id: 6, a: [{ '0': 1 }] })
  expect((await serverError(ids({ 'a.0': 1 }))).code).toBe(16746)
})
