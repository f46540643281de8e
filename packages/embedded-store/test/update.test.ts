import { type Document, Double, Int32, Long, Timestamp } from 'mongodb'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { serverError, startTestStore, type TestStore } from './lab.ts'

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

/** Stores a document, updates it and gives what it has become. */
const updated = async (
  before: object,
  update: object,
  options: { filter?: object; arrayFilters?: object[] } = {},
): Promise<unknown> => {
  await things().drop()
  await things().insertOne({ _id: 1, ...before })
  await things().updateOne(
    { _id: 1, ...options.filter },
    update as never,
    options.arrayFilters ? { arrayFilters: options.arrayFilters } : {},
  )
  const { _id, ...after } = (await things().findOne({ _id: 1 })) as Thing
  return after
}

const code = async (
  before: object,
  update: object,
  options: { filter?: object; arrayFilters?: object[] } = {},
): Promise<unknown> => (await serverError(updated(before, update, options))).code

test('fields are set, removed, renamed and created on the way', async () => {
  expect(await updated({ a: { b: 1 } }, { $set: { 'a.c': 2, 'd.e.f': 3 } })).toEqual({
    a: { b: 1, c: 2 },
    d: { e: { f: 3 } },
  })
  expect(await updated({ a: { b: 1, c: 2 }, d: 1 }, { $unset: { 'a.b': '', d: '', x: '' } })).toEqual({ a: { c: 2 } })
  expect(await updated({ a: 1, list: [1, 2] }, { $unset: { 'list.0': '' } })).toEqual({ a: 1, list: [null, 2] })
  expect(await updated({ a: 1 }, { $rename: { a: 'b.c', missing: 'd.e' } })).toEqual({ b: { c: 1 } })
  expect(await updated({ list: [1] }, { $set: { 'list.3': 4 } })).toEqual({ list: [1, null, null, 4] })
  expect(await updated({}, { $set: { z: 1, a: 2, m: 3 } })).toEqual({ a: 2, m: 3, z: 1 })
  expect(Object.keys((await updated({}, { $set: { z: 1, a: 2, m: 3 } })) as object)).toEqual(['a', 'm', 'z'])
  expect(await updated({ a: 1 }, { $setOnInsert: { b: 1 } })).toEqual({ a: 1 })
})

test('numbers keep or grow their type', async () => {
  await things().insertOne({
    _id: 1,
    int: new Int32(2147483647),
    double: new Double(1),
    long: Long.fromString('9007199254740993'),
  } as Thing)
  await things().updateOne({ _id: 1 }, { $inc: { int: 1, double: 1, long: 1, added: 5 }, $mul: { missing: 3 } })
  const found = await things().findOne({ _id: 1 }, { promoteValues: false })
  expect(found).toMatchObject({
    int: Long.fromNumber(2147483648),
    double: new Double(2),
    added: new Int32(5),
    missing: new Int32(0),
  })
  expect(String(found?.['long'])).toBe('9007199254740994')
  expect(await updated({ a: 5, b: 5, c: 'x' }, { $min: { a: 3, b: 7, d: 1 }, $max: { c: 9 } })).toEqual({
    a: 3,
    b: 5,
    c: 'x',
    d: 1,
  })
  expect(await code({ a: 'x' }, { $inc: { a: 1 } })).toBe(14)
  expect(await code({ a: 1 }, { $inc: { a: 'x' } })).toBe(14)
})

test('dates of the server are dates and timestamps', async () => {
  const after = (await updated({}, { $currentDate: { at: true, stamp: { $type: 'timestamp' } } })) as {
    at: Date
    stamp: Timestamp
  }
  expect(Math.abs(Date.now() - after.at.getTime())).toBeLessThan(60_000)
  expect(after.stamp).toBeInstanceOf(Timestamp)
})

test('arrays grow, shrink and stay sorted', async () => {
  expect(await updated({ a: [1] }, { $push: { a: 2, b: 1 } })).toEqual({ a: [1, 2], b: [1] })
  expect(await updated({ a: [3, 1] }, { $push: { a: { $each: [2, 5], $sort: 1, $slice: -3 } } })).toEqual({
    a: [2, 3, 5],
  })
  expect(await updated({ a: [1, 4] }, { $push: { a: { $each: [2, 3], $position: 1 } } })).toEqual({ a: [1, 2, 3, 4] })
  expect(await updated({ a: [{ n: 2 }, { n: 1 }] }, { $push: { a: { $each: [], $sort: { n: 1 } } } })).toEqual({
    a: [{ n: 1 }, { n: 2 }],
  })
  expect(await updated({ a: [1] }, { $addToSet: { a: { $each: [1, 2, 2] } } })).toEqual({ a: [1, 2] })
  expect(await updated({ a: [{ x: 1 }] }, { $addToSet: { a: { x: 1 } } })).toEqual({ a: [{ x: 1 }] })
  expect(await updated({ a: [1, 2, 3] }, { $pop: { a: 1 } })).toEqual({ a: [1, 2] })
  expect(await updated({ a: [1, 2, 3] }, { $pop: { a: -1 } })).toEqual({ a: [2, 3] })
  expect(await updated({ a: [1, 2, 3, 4] }, { $pull: { a: { $gte: 2, $lt: 4 } } })).toEqual({ a: [1, 4] })
  expect(
    await updated(
      {
        a: [
          { x: 1, y: 1 },
          { x: 2, y: 1 },
        ],
      },
      { $pull: { a: { x: 1 } } },
    ),
  ).toEqual({ a: [{ x: 2, y: 1 }] })
  expect(await updated({ a: [1, 2, 1, 3] }, { $pullAll: { a: [1, 3] } })).toEqual({ a: [2] })
  expect(await code({ a: 1 }, { $push: { a: 1 } })).toBe(2)
  expect(await code({ a: [] }, { $push: { a: { $each: 1 } } })).toBe(2)
})

test('positional operators reach the matched, all and filtered elements', async () => {
  const grades = {
    grades: [
      { n: 1, g: 80 },
      { n: 2, g: 90 },
    ],
  }
  expect(await updated(grades, { $set: { 'grades.$.g': 0 } }, { filter: { 'grades.n': 2 } })).toEqual({
    grades: [
      { n: 1, g: 80 },
      { n: 2, g: 0 },
    ],
  })
  expect(await updated({ a: [5, 6, 7] }, { $set: { 'a.$': 0 } }, { filter: { a: { $gt: 5 } } })).toEqual({
    a: [5, 0, 7],
  })
  expect(
    await updated(grades, { $set: { 'grades.$.g': 1 } }, { filter: { grades: { $elemMatch: { g: { $gte: 85 } } } } }),
  ).toEqual({
    grades: [
      { n: 1, g: 80 },
      { n: 2, g: 1 },
    ],
  })
  expect(await updated(grades, { $inc: { 'grades.$[].g': 1 } })).toEqual({
    grades: [
      { n: 1, g: 81 },
      { n: 2, g: 91 },
    ],
  })
  expect(
    await updated(grades, { $set: { 'grades.$[low].g': 85 } }, { arrayFilters: [{ 'low.g': { $lt: 85 } }] }),
  ).toEqual({
    grades: [
      { n: 1, g: 85 },
      { n: 2, g: 90 },
    ],
  })
  expect(
    await updated({ m: [[1, 2], [3]] }, { $set: { 'm.$[].$[x]': 0 } }, { arrayFilters: [{ x: { $gte: 2 } }] }),
  ).toEqual({ m: [[1, 0], [0]] })
  expect(await code(grades, { $set: { 'grades.$.g': 0 } })).toBe(2)
  expect(await code(grades, { $set: { 'grades.$[x].g': 0 } })).toBe(2)
  expect(await code(grades, { $set: { 'grades.$[].g': 0 } }, { arrayFilters: [{ 'x.g': 1 }] })).toBe(9)
})

test('what cannot be done is refused with the code of MongoDB and changes nothing', async () => {
  expect(await code({}, { $set: { a: 1, 'a.b': 2 } })).toBe(40)
  expect(await code({}, { $set: { _id: 2 } })).toBe(66)
  expect(await code({}, { $set: { 'a..b': 2 } })).toBe(56)
  expect(await code({}, { $set: { $x: 2 } })).toBe(52)
  expect(await code({ a: 1 }, { $set: { 'a.b': 2 } })).toBe(28)
  expect(await code({}, { $nonsense: { a: 1 } })).toBe(9)
  expect(await things().findOne({ _id: 1 })).toEqual({ _id: 1 })
  const replaced = lab.db.command({ update: 'things', updates: [{ q: { _id: 1 }, u: { _id: 2, a: 1 } }] })
  expect((await replaced)['writeErrors']).toMatchObject([{ code: 66 }])
  const many = lab.db.command({ update: 'things', updates: [{ q: {}, u: { a: 1 }, multi: true }] })
  expect((await many)['writeErrors']).toMatchObject([{ code: 9 }])
})

test('an update that changes nothing is matched and not modified', async () => {
  await things().insertMany([
    { _id: 1, a: 1 },
    { _id: 2, a: 2 },
  ])
  expect(await things().updateMany({}, { $set: { a: 2 } })).toMatchObject({ matchedCount: 2, modifiedCount: 1 })
})

test('an upsert begins with what the filter fixes', async () => {
  await things().updateOne(
    { _id: 5, 'a.b': 1, c: { $gt: 3 }, $and: [{ d: { $eq: 4 } }] },
    { $set: { e: 1 }, $setOnInsert: { f: 2 } },
    { upsert: true },
  )
  expect(await things().findOne({ _id: 5 })).toEqual({ _id: 5, a: { b: 1 }, d: 4, e: 1, f: 2 })
  const { upsertedId } = await things().replaceOne({ name: 'x' }, { n: 1 } as never, { upsert: true })
  expect(await things().findOne({ _id: upsertedId as never })).toEqual({ _id: upsertedId, n: 1 })
  expect((await serverError(things().updateOne({ _id: 9 }, { $set: { _id: 10 } }, { upsert: true }))).code).toBe(66)
})

test('one document is updated by several clients at once without a loss', async () => {
  await things().insertOne({ _id: 1, n: 0 })
  await Promise.all(Array.from({ length: 200 }, () => things().updateOne({ _id: 1 }, { $inc: { n: 1 } })))
  expect(await things().findOne({ _id: 1 })).toEqual({ _id: 1, n: 200 })
})

test('a changed version refuses the second of two writers', async () => {
  await things().insertOne({ _id: 1, epoch: 1 })
  const attempts = await Promise.all(
    [1, 2, 3].map(() => things().updateOne({ _id: 1, epoch: 1 }, { $inc: { epoch: 1 } })),
  )
  expect(attempts.map(({ modifiedCount }) => modifiedCount).toSorted()).toEqual([0, 0, 1])
})
