import { type Document, Long } from 'mongodb'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { serverError, startTestStore, testEmbedded, type TestStore } from './lab.ts'

/** Answers and codes are those of https://www.mongodb.com/docs/manual/reference/command/ for MongoDB 7. */
let lab: TestStore
type Thing = Document & { _id: number }
const things = () => lab.db.collection<Thing>('things')
const run = (command: Document) => lab.db.command(command)
const codeOf = async (command: Document) => (await serverError(run(command))).code

beforeAll(async () => {
  lab = await startTestStore()
})
beforeEach(async () => {
  await things().drop()
})
afterAll(() => lab.stop())

test('a collection that exists is made again without an error, with other options it is one', async () => {
  expect(await run({ create: 'made' })).toMatchObject({ ok: 1 })
  expect(await run({ create: 'made' })).toMatchObject({ ok: 1 })
  expect(await codeOf({ create: 'made', capped: true, size: 4096 })).toBe(48)
  expect(await run({ drop: 'made' })).toMatchObject({ nIndexesWas: 1, ns: `${lab.db.databaseName}.made`, ok: 1 })
  expect(await run({ drop: 'made' })).toMatchObject({ ok: 1 })
  expect(await codeOf({ create: 'a$b' })).toBe(73)
  expect(await codeOf({ create: '' })).toBe(73)
})

test('commands on what is not there answer as MongoDB does', async () => {
  expect(await run({ find: 'none' })).toMatchObject({ cursor: { id: 0, firstBatch: [] } })
  expect(await run({ count: 'none' })).toMatchObject({ n: 0 })
  expect(await run({ distinct: 'none', key: 'a' })).toMatchObject({ values: [] })
  expect(await run({ delete: 'none', deletes: [{ q: {}, limit: 0 }] })).toMatchObject({ n: 0 })
  expect(await run({ update: 'none', updates: [{ q: {}, u: { $set: { a: 1 } } }] })).toMatchObject({
    n: 0,
    nModified: 0,
  })
  expect(await codeOf({ listIndexes: 'none' })).toBe(26)
  expect(await codeOf({ dropIndexes: 'none', index: '*' })).toBe(26)
  expect(await codeOf({ noSuchCommand: 1 })).toBe(59)
  expect(await codeOf({ getMore: Long.fromNumber(7), collection: 'none' })).toBe(43)
  expect(await run({ killCursors: 'none', cursors: [Long.fromNumber(7)] })).toMatchObject({
    cursorsNotFound: [7],
  })
})

test('batches of writes have at least one and a limit of their statements', async () => {
  expect(await codeOf({ insert: 'things', documents: [] })).toBe(16)
  expect(await codeOf({ update: 'things', updates: [] })).toBe(16)
  expect(await codeOf({ delete: 'things', deletes: [] })).toBe(16)
  expect(await codeOf({ delete: 'things', deletes: [{ q: {}, limit: 2 }] })).toBe(9)
  expect(await codeOf({ insert: 'things' })).toBe(40414)
})

test('the errors of a batch name the place of the statement', async () => {
  await things().createIndex({ a: 1 }, { unique: true })
  const documents = [1, 2, 1, 3, 2].map((a, _id) => ({ _id, a }))
  const ordered = await run({ insert: 'things', documents })
  expect(ordered).toMatchObject({
    n: 2,
    ok: 1,
    writeErrors: [{ index: 2, code: 11000, keyPattern: { a: 1 }, keyValue: { a: 1 } }],
  })
  expect(ordered['writeErrors']).toHaveLength(1)
  await things().deleteMany({})
  const unordered = await run({ insert: 'things', documents, ordered: false })
  expect(unordered).toMatchObject({ n: 3, writeErrors: [{ index: 2 }, { index: 4 }] })
  const updates = [
    { q: { _id: 0 }, u: { $set: { a: 9 } } },
    { q: { _id: 1 }, u: { $set: { a: 9 } } },
    { q: { _id: 77 }, u: { $set: { b: 1 } }, upsert: true },
    { q: { b: 1 }, u: { $nonsense: 1 } },
  ]
  const found = await run({ update: 'things', updates, ordered: false })
  expect(found).toMatchObject({ n: 2, nModified: 1, upserted: [{ index: 2, _id: 77 }] })
  expect((found['writeErrors'] as Document[]).map(({ index, code }) => [index, code])).toEqual([
    [1, 11000],
    [3, 9],
  ])
})

test('n counts what matched, nModified what changed', async () => {
  await things().insertMany([{ _id: 1, a: 1 }, { _id: 2, a: 2 }, { _id: 3 }])
  const update = (q: Document, u: Document, more: Document = {}) =>
    run({ update: 'things', updates: [{ q, u, ...more }] })
  expect(await update({}, { $set: { a: 1 } })).toMatchObject({ n: 1, nModified: 0 })
  expect(await update({}, { $set: { a: 1 } }, { multi: true })).toMatchObject({ n: 3, nModified: 2 })
  expect(await update({ _id: 9 }, { $set: { a: 1 } })).toMatchObject({ n: 0, nModified: 0 })
  expect(await update({ _id: 9 }, { $set: { a: 1 } }, { upsert: true })).toMatchObject({
    n: 1,
    nModified: 0,
    upserted: [{ index: 0, _id: 9 }],
  })
  // a whole document that begins with no _id is not the one that is there
  expect(await update({ _id: 9 }, { a: 1 })).toMatchObject({ n: 1, nModified: 1 })
  expect(await update({ _id: 9 }, { a: 1, _id: 9 })).toMatchObject({ n: 1, nModified: 1 })
  expect(await update({ _id: 9 }, { _id: 9, a: 1 })).toMatchObject({ n: 1, nModified: 0 })
  expect(await update({ _id: 9 }, {})).toMatchObject({ n: 1, nModified: 1 })
  expect(await update({ _id: 9 }, {})).toMatchObject({ n: 1, nModified: 0 })
})

test('a statement that fails on its way counts nothing', async () => {
  await things().insertMany([
    { _id: 1, a: 1 },
    { _id: 2, a: 'x' },
  ])
  const updates = [{ q: {}, u: { $inc: { a: 1 } }, multi: true }]
  expect(await run({ update: 'things', updates })).toMatchObject({ n: 0, nModified: 0, writeErrors: [{ code: 14 }] })
  expect(await things().findOne({ _id: 1 })).toEqual({ _id: 1, a: 2 })
})

test('an update that has not the form of one fails the command', async () => {
  for (const [u, code] of [
    [5, 9],
    ['x', 9],
  ])
    expect(await codeOf({ update: 'things', updates: [{ q: { $nonsense: 1 }, u }] })).toBe(code)
})

test('findAndModify tells the mistakes of the update before those of the query', async () => {
  expect(await codeOf({ findAndModify: 'things', query: { $or: 1 }, update: { $set: 1 } })).toBe(9)
  expect(await codeOf({ findAndModify: 'things', query: { $or: 1 }, update: { $set: { a: 1 } } })).toBe(2)
})

test('findAndModify answers with the document before or after, and what it did', async () => {
  await things().insertMany([
    { _id: 1, a: 3 },
    { _id: 2, a: 1 },
    { _id: 3, a: 2 },
  ])
  const modify = (more: Document) => run({ findAndModify: 'things', ...more })
  expect(await modify({ sort: { a: 1 }, update: { $inc: { a: 10 } } })).toMatchObject({
    value: { _id: 2, a: 1 },
    lastErrorObject: { n: 1, updatedExisting: true },
  })
  expect(
    (await modify({ query: { _id: 2 }, update: { $inc: { a: 1 } }, new: true, fields: { _id: 0 } }))['value'],
  ).toEqual({ a: 12 })
  expect(await modify({ query: { _id: 8 }, update: { $set: { a: 1 } } })).toMatchObject({
    value: null,
    lastErrorObject: { n: 0, updatedExisting: false },
  })
  expect(await modify({ query: { _id: 8 }, update: { $set: { a: 1 } }, upsert: true })).toMatchObject({
    value: null,
    lastErrorObject: { n: 1, updatedExisting: false, upserted: 8 },
  })
  expect((await modify({ query: { _id: 9 }, update: { a: 5 }, upsert: true, new: true }))['value']).toEqual({
    _id: 9,
    a: 5,
  })
  expect(await modify({ query: {}, sort: { a: -1 }, remove: true })).toMatchObject({
    value: { _id: 2, a: 12 },
    lastErrorObject: { n: 1 },
  })
  expect((await modify({ query: { _id: 77 }, remove: true }))['value']).toBeNull()
  expect(await codeOf({ findAndModify: 'things', remove: true, update: {} })).toBe(9)
  expect(await codeOf({ findAndModify: 'things', remove: true, new: true })).toBe(9)
  expect(await codeOf({ findAndModify: 'things' })).toBe(9)
})

test('count and distinct take what find takes', async () => {
  await things().insertMany([1, 2, 3, 4, 5].map((n) => ({ _id: n, a: n % 2, tags: [n, 'all'], d: [{ x: n % 3 }] })))
  expect(await run({ count: 'things', query: { a: 1 }, skip: 1 })).toMatchObject({ n: 2 })
  expect(await run({ count: 'things', limit: 2 })).toMatchObject({ n: 2 })
  expect(await run({ count: 'things', limit: -2, skip: 4 })).toMatchObject({ n: 1 })
  expect(await run({ count: 'things', skip: 9 })).toMatchObject({ n: 0 })
  expect(await run({ count: 'things', hint: '_id_' })).toMatchObject({ n: 5 })
  expect(await codeOf({ count: 'things', hint: 'none' })).toBe(2)
  expect(await codeOf({ count: 'things', limit: 'x' })).toBe(2)
  expect(await codeOf({ count: 'things', limit: 1.5 })).toBe(9)
  expect((await things().distinct('tags', { a: 1 })).toSorted()).toEqual([1, 3, 5, 'all'])
  expect(await things().distinct('d.x')).toEqual([0, 1, 2])
  expect(await things().distinct('none')).toEqual([])
})

test('a cursor ends where it is killed, and an unread batch of none leaves it open', async () => {
  await things().insertMany(Array.from({ length: 10 }, (_, _id) => ({ _id })))
  const { cursor } = await run({ find: 'things', batchSize: 0, sort: { _id: 1 } })
  expect(cursor.firstBatch).toEqual([])
  const next = await run({ getMore: Long.fromValue(cursor.id), collection: 'things', batchSize: 4 })
  expect(next['cursor'].nextBatch).toEqual([0, 1, 2, 3].map((_id) => ({ _id })))
  expect(await codeOf({ getMore: Long.fromValue(cursor.id), collection: 'others' })).toBe(13)
  const killed = await run({ killCursors: 'things', cursors: [Long.fromValue(cursor.id)] })
  expect(killed['cursorsKilled']).toHaveLength(1)
  expect(await codeOf({ getMore: Long.fromValue(cursor.id), collection: 'things' })).toBe(43)
  const single = await run({ find: 'things', batchSize: 3, singleBatch: true })
  expect(single['cursor']).toMatchObject({ id: 0 })
})

test('a stored _id is never changed and never of a kind that cannot be one', async () => {
  const first = async (command: Document) => ((await run(command))['writeErrors'] as Document[])[0]?.['code'] as number
  expect(await first({ insert: 'things', documents: [{ _id: [1] }] })).toBe(53)
  expect(await first({ insert: 'things', documents: [{ _id: /x/ }] })).toBe(53)
  expect(await first({ insert: 'things', documents: [{ _id: { $a: 1 } }] })).toBe(52)
  await things().insertOne({ _id: 1 })
  expect(await first({ update: 'things', updates: [{ q: { _id: 1 }, u: { _id: 2 } }] })).toBe(66)
  expect(await first({ update: 'things', updates: [{ q: {}, u: { a: 1 }, multi: true }] })).toBe(9)
  expect(await first({ update: 'things', updates: [{ q: {}, u: { a: 1, $b: 1 } }] })).toBe(52)
})

testEmbedded('collations, views and capped collections are refused', async () => {
  expect(await codeOf({ find: 'things', collation: { locale: 'de' } })).toBe(238)
  expect(await codeOf({ create: 'ring', capped: true, size: 4096 })).toBe(238)
  expect(await codeOf({ create: 'view', viewOn: 'things', pipeline: [] })).toBe(238)
})
