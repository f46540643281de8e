import {
  Binary,
  BSON,
  Decimal128,
  type Document,
  Double,
  Int32,
  Long,
  MaxKey,
  MinKey,
  MongoBulkWriteError,
  ObjectId,
  Timestamp,
} from 'mongodb'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { serverError, startTestStore, type TestStore } from './lab.ts'

let lab: TestStore
type Numbered = Document & { _id: number }
const things = () => lab.db.collection<Numbered>('things')

beforeAll(async () => {
  lab = await startTestStore()
})
beforeEach(async () => {
  await things().drop()
})
afterAll(() => lab.stop())

test('every BSON type comes back as it was stored, in its place', async () => {
  const stored = {
    _id: new ObjectId(),
    int: new Int32(5),
    whole: new Double(5),
    negativeZero: new Double(-0),
    double: new Double(0.1),
    long: Long.fromString('9007199254740993'),
    decimal: Decimal128.fromString('0.1'),
    date: new Date('2026-01-02T03:04:05.678Z'),
    bytes: new Binary(Buffer.from([0, 1, 255])),
    uuid: new BSON.UUID(),
    stamp: new Timestamp({ t: 3, i: 4 }),
    regex: new BSON.BSONRegExp('^a', 'i'),
    nothing: null,
    list: [1, 'zwei', null, { drei: [3] }],
    min: new MinKey(),
    max: new MaxKey(),
    code: new BSON.Code('x', { y: 1 }),
    zuletzt: { b: 1, a: 2 },
  }
  const collection = lab.db.collection('things')
  await collection.insertOne(stored)
  await collection.updateOne({ _id: stored._id }, { $set: { changed: true } })
  const options = { promoteValues: false, promoteBuffers: false, bsonRegExp: true }
  const found = await collection.findOne({ _id: stored._id }, options)
  expect(Object.keys(found ?? {})).toEqual([...Object.keys(stored), 'changed'])
  const { changed, ...rest }: Document = found ?? {}
  expect(changed).toBe(true)
  expect(Buffer.compare(BSON.serialize(rest), BSON.serialize(stored))).toBe(0)
})

test('null and missing are different, and a query for null finds both', async () => {
  await things().insertMany([{ _id: 1, a: null }, { _id: 2 }, { _id: 3, a: 0 }])
  expect(await things().find({ a: null }).toArray()).toEqual([{ _id: 1, a: null }, { _id: 2 }])
  expect(await things().countDocuments({ a: { $exists: true } })).toBe(2)
  expect(await things().countDocuments({ a: { $type: 'null' } })).toBe(1)
})

test('documents come in the order of their insertion, or of any types when sorted', async () => {
  const values = ['b', 3, null, true, 'a', 2.5, [0], { x: 1 }, new Date(0)]
  await things().insertMany(values.map((a, i) => ({ _id: 9 - i, a })))
  expect((await things().find().toArray()).map(({ _id }) => _id)).toEqual([9, 8, 7, 6, 5, 4, 3, 2, 1])
  const sorted = (await things().find().sort({ a: 1 }).toArray()).map(({ a }) => a)
  expect(sorted).toEqual([null, [0], 2.5, 3, 'a', 'b', { x: 1 }, true, new Date(0)])
  const reversed = (await things().find().sort({ a: -1 }).toArray()).map(({ a }) => a)
  expect(reversed).toEqual(sorted.toReversed())
})

test('skip, limit, projections and batches work together', async () => {
  await things().insertMany(Array.from({ length: 250 }, (_, i) => ({ _id: i, a: { b: i, c: 1 }, list: [1, 2, 3] })))
  const page = await things()
    .find({ _id: { $gte: 100 } }, { projection: { 'a.b': 1, _id: 0 } })
    .skip(10)
    .limit(3)
    .toArray()
  expect(page).toEqual([{ a: { b: 110 } }, { a: { b: 111 } }, { a: { b: 112 } }])
  expect(await things().findOne({ _id: 1 }, { projection: { list: 0, 'a.c': 0 } })).toEqual({ _id: 1, a: { b: 1 } })
  const cursor = things().find().batchSize(40)
  expect((await cursor.toArray()).map(({ _id }) => _id)).toEqual(Array.from({ length: 250 }, (_, i) => i))
  expect(
    (
      await serverError(
        things()
          .find({}, { projection: { a: 1, list: 0 } })
          .toArray(),
      )
    ).code,
  ).toBe(31254)
})

test('a killed cursor is gone', async () => {
  await things().insertMany(Array.from({ length: 10 }, (_, i) => ({ _id: i })))
  const { cursor } = await lab.db.command({ find: 'things', batchSize: 2 })
  expect(cursor.firstBatch).toHaveLength(2)
  const killed = await lab.db.command({ killCursors: 'things', cursors: [Long.fromBigInt(BigInt(cursor.id))] })
  expect(killed['cursorsKilled']).toHaveLength(1)
  expect((await serverError(lab.db.command({ getMore: cursor.id, collection: 'things' }))).code).toBe(43)
})

test('an ordered bulk write stops at its first error, an unordered one tries all', async () => {
  await things().insertOne({ _id: 2 })
  const documents = [{ _id: 1 }, { _id: 2 }, { _id: 3 }]
  const ordered: unknown = await things()
    .insertMany(documents)
    .catch((error: unknown) => error)
  expect(ordered).toBeInstanceOf(MongoBulkWriteError)
  expect(ordered).toMatchObject({ code: 11000, insertedCount: 1 })
  expect(await things().countDocuments()).toBe(2)
  await things().deleteOne({ _id: 1 })
  const unordered: unknown = await things()
    .insertMany(documents, { ordered: false })
    .catch((error: unknown) => error)
  expect(unordered).toMatchObject({ code: 11000, insertedCount: 2, writeErrors: [{ index: 1 }] })
  expect(await things().countDocuments()).toBe(3)
})

test('a mixed bulk write tells what it did', async () => {
  const result = await things().bulkWrite([
    { insertOne: { document: { _id: 1, n: 1 } } },
    { updateOne: { filter: { _id: 1 }, update: { $inc: { n: 1 } } } },
    { updateOne: { filter: { _id: 2 }, update: { $set: { n: 5 } }, upsert: true } },
    { replaceOne: { filter: { _id: 2 }, replacement: { n: 6 } } },
    { updateMany: { filter: {}, update: { $mul: { n: 2 } } } },
    { deleteOne: { filter: { _id: 1 } } },
  ])
  expect(result).toMatchObject({
    insertedCount: 1,
    matchedCount: 4,
    modifiedCount: 4,
    upsertedCount: 1,
    deletedCount: 1,
    upsertedIds: { 2: 2 },
  })
  expect(await things().find().toArray()).toEqual([{ _id: 2, n: 12 }])
})

test('find and modify gives the document before or after, by order, and upserts', async () => {
  await things().insertMany([
    { _id: 1, n: 3 },
    { _id: 2, n: 1 },
  ])
  expect(await things().findOneAndUpdate({}, { $inc: { n: 10 } }, { sort: { n: 1 } })).toEqual({ _id: 2, n: 1 })
  expect(
    await things().findOneAndUpdate(
      { _id: 2 },
      { $inc: { n: 1 } },
      { returnDocument: 'after', projection: { _id: 0 } },
    ),
  ).toEqual({ n: 12 })
  expect(await things().findOneAndReplace({ _id: 1 }, { m: 1 }, { returnDocument: 'after' })).toEqual({ _id: 1, m: 1 })
  expect(await things().findOneAndDelete({ _id: 1 })).toEqual({ _id: 1, m: 1 })
  expect(await things().findOneAndUpdate({ _id: 7 }, { $set: { a: 1 } }, { upsert: true })).toBeNull()
  const raw = await things().findOneAndUpdate(
    { _id: 8 },
    { $set: { a: 1 } },
    { upsert: true, returnDocument: 'after', includeResultMetadata: true },
  )
  expect(raw).toMatchObject({ value: { _id: 8, a: 1 }, lastErrorObject: { n: 1, updatedExisting: false, upserted: 8 } })
})

test('count and distinct look into arrays', async () => {
  await things().insertMany([
    { _id: 1, tags: ['a', 'b'] },
    { _id: 2, tags: 'b' },
    { _id: 3, list: [{ x: 1 }, { x: 2 }] },
  ])
  expect(await things().countDocuments({ tags: 'b' })).toBe(2)
  expect(await things().estimatedDocumentCount()).toBe(3)
  expect(await things().distinct('tags')).toEqual(['a', 'b'])
  expect(await things().distinct('list.x')).toEqual([1, 2])
})

test('databases and collections are listed, made and dropped', async () => {
  const name = `${lab.db.databaseName}_other`
  const db = lab.client.db(name)
  await db.createCollection('one')
  await db.collection('two').insertOne({})
  expect((await db.listCollections().toArray()).map((found) => found.name).toSorted()).toEqual(['one', 'two'])
  expect(await db.listCollections({ name: 'two' }, { nameOnly: true }).toArray()).toEqual([
    { name: 'two', type: 'collection' },
  ])
  const { databases } = await db.admin().listDatabases()
  expect(databases.map((database) => database.name)).toContain(name)
  await db.dropDatabase()
  expect(await db.listCollections().toArray()).toEqual([])
  expect((await serverError(db.collection('none').indexes())).code).toBe(26)
})
