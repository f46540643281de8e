import type { Document } from 'mongodb'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { serverError, startTestStore, testEmbedded, type TestStore } from './lab.ts'

let lab: TestStore
type Thing = Document & { _id: number }
const things = () => lab.db.collection<Thing>('things')

beforeAll(async () => {
  lab = await startTestStore()
})
beforeEach(async () => {
  await things().drop()
})
afterAll(() => lab.stop())

test('a unique index refuses a duplicate with the key in the error', async () => {
  await things().createIndex({ name: 1, 'host.id': -1 }, { unique: true })
  await things().insertOne({ _id: 1, name: 'web', host: { id: 7 } })
  const error = await serverError(things().insertOne({ _id: 2, name: 'web', host: { id: 7 } }))
  expect(error).toMatchObject({ code: 11000 })
  expect(error.message).toBe(
    `E11000 duplicate key error collection: ${lab.db.databaseName}.things index: name_1_host.id_-1 dup key: { name: "web", host.id: 7 }`,
  )
  const viaUpsert = await serverError(
    things().findOneAndUpdate({ _id: 3 }, { $set: { name: 'web', 'host.id': 7 } }, { upsert: true }),
  )
  expect(viaUpsert).toMatchObject({
    code: 11000,
    keyPattern: { name: 1, 'host.id': -1 },
    keyValue: { name: 'web', 'host.id': 7 },
  })
  await things().insertOne({ _id: 2, name: 'web', host: { id: 8 } })
  const byUpdate = await serverError(things().updateOne({ _id: 2 }, { $set: { 'host.id': 7 } }))
  expect(byUpdate.code).toBe(11000)
  expect(await things().findOne({ _id: 2 })).toEqual({ _id: 2, name: 'web', host: { id: 8 } })
  expect((await serverError(things().insertOne({ _id: 1 }))).message).toContain('index: _id_ dup key: { _id: 1 }')
})

test('documents without the field collide in a unique index, not in a sparse or partial one', async () => {
  await things().createIndex({ a: 1 }, { unique: true })
  await things().insertOne({ _id: 1 })
  expect((await serverError(things().insertOne({ _id: 2 }))).code).toBe(11000)
  await things().dropIndex('a_1')
  await things().createIndex({ a: 1 }, { unique: true, sparse: true })
  await things().insertOne({ _id: 2 })
  await things().createIndex({ b: 1 }, { unique: true, partialFilterExpression: { active: true } })
  await things().insertMany([
    { _id: 3, a: 3, b: 1 },
    { _id: 4, a: 4, b: 1, active: true },
  ])
  expect((await serverError(things().insertOne({ _id: 5, a: 5, b: 1, active: true }))).code).toBe(11000)
  expect((await serverError(things().updateOne({ _id: 3 }, { $set: { active: true } }))).code).toBe(11000)
})

test('elements of arrays are keys, and unique between documents only', async () => {
  await things().createIndex({ tags: 1 }, { unique: true })
  await things().insertOne({ _id: 1, tags: ['a', 'a', 'b'] })
  expect((await serverError(things().insertOne({ _id: 2, tags: ['c', 'b'] }))).code).toBe(11000)
  await things().updateOne({ _id: 1 }, { $pull: { tags: 'b' } as object })
  await things().insertOne({ _id: 2, tags: ['c', 'b'] })
  expect(await things().find({ tags: 'b' }).hint('tags_1').toArray()).toMatchObject([{ _id: 2 }])
  await things().createIndex({ x: 1, y: 1 })
  expect((await serverError(things().insertOne({ _id: 3, tags: 'z', x: [1], y: [2] }))).code).toBe(171)
})

test('an index on existing documents is built, or refused as a whole', async () => {
  await things().insertMany(Array.from({ length: 1500 }, (_, i) => ({ _id: i, a: i % 1000 })))
  expect((await serverError(things().createIndex({ a: 1 }, { unique: true }))).code).toBe(11000)
  expect(await things().indexes()).toHaveLength(1)
  await things().createIndex({ a: -1 })
  expect(await things().find({ a: 5 }).toArray()).toHaveLength(2)
})

test('indexes are listed as they were made, and contradicting ones are refused', async () => {
  await things().createIndex({ a: 1 }, { unique: true, sparse: true })
  await things().createIndex({ b: 1, c: -1 }, { name: 'both', partialFilterExpression: { d: { $exists: true } } })
  expect(await things().indexes()).toEqual([
    { v: 2, key: { _id: 1 }, name: '_id_' },
    { v: 2, key: { a: 1 }, name: 'a_1', unique: true, sparse: true },
    { v: 2, key: { b: 1, c: -1 }, name: 'both', partialFilterExpression: { d: { $exists: true } } },
  ])
  await things().createIndex({ a: 1 }, { unique: true, sparse: true })
  expect((await serverError(things().createIndex({ a: 1 }))).code).toBe(86)
  expect((await serverError(things().createIndex({ a: 1 }, { name: 'other', unique: true, sparse: true }))).code).toBe(
    85,
  )
  expect((await serverError(things().createIndex({ z: 1 }, { name: 'both' }))).code).toBe(86)
  // since MongoDB 5 indexes on the same fields may differ in these
  await things().createIndex({ a: 1 }, { name: 'plain' })
  await things().createIndex({ a: 1 }, { name: 'some', partialFilterExpression: { a: { $gt: 5 } } })
  expect((await serverError(things().dropIndex('none'))).code).toBe(27)
  expect((await serverError(things().dropIndex('_id_'))).code).toBe(72)
  await things().dropIndexes()
  expect(await things().indexes()).toHaveLength(1)
})

testEmbedded('kinds of index that the embedded store does not have are refused', async () => {
  expect((await serverError(things().createIndex({ at: 1 }, { expireAfterSeconds: 60 }))).code).toBe(238)
  expect((await serverError(things().createIndex({ text: 'text' }))).code).toBe(238)
})
