import type { Document } from 'mongodb'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { serverError, startTestStore, type TestStore } from './lab.ts'

/** Which fields an upsert takes from its filter, as MongoDB's own tests hold it (mongodb/mongo, upsert_fields.js). */
let lab: TestStore
beforeAll(async () => {
  lab = await startTestStore()
})
afterAll(() => lab.stop())

const things = () => lab.db.collection<Document & { _id: unknown }>('things')

const upserted = async (filter: Document, update: Document): Promise<Document | number> => {
  await things().deleteMany({})
  const isOperator = Object.keys(update)[0]?.startsWith('$') === true
  const work = isOperator
    ? things().updateOne(filter, update, { upsert: true })
    : things().replaceOne(filter, update, { upsert: true })
  const code = await work.then(
    () => undefined,
    async () => (await serverError(work)).code as number,
  )
  if (code !== undefined) return code
  const found = (await things().findOne({})) as Document
  return found
}

const TAKEN: [filter: Document, x: unknown][] = [
  [{ x: 1 }, 1],
  [{ x: { $eq: 1 } }, 1],
  [{ x: { $in: [1] } }, 1],
  [{ x: { $all: [1] } }, 1],
  [{ $and: [{ x: 1 }] }, 1],
  [{ $and: [{ x: { $eq: 1 } }] }, 1],
  [{ $or: [{ x: 1 }] }, 1],
  [{ x: [1, 2] }, [1, 2]],
  [{ x: { y: 1 } }, { y: 1 }],
  [{ x: null }, null],
  [{ 'x.x': 1 }, { x: 1 }],
  [
    { 'x.x': { $all: [1] }, 'x.y': 2 },
    { x: 1, y: 2 },
  ],
]
const NOT_TAKEN: Document[] = [
  { x: { $gt: 1 } },
  { x: { $ne: 1 } },
  { x: { $in: [1, 2] } },
  { x: { $elemMatch: { $eq: 1 } } },
  { x: { $exists: true } },
  { x: { $not: { $eq: 1 } } },
  { x: /abc/ },
  { $or: [{ x: 1 }, { x: 1 }] },
  { $nor: [{ x: 1 }] },
]
const CONFLICTS: Document[] = [
  { x: { $all: [1, 2] } },
  { $and: [{ x: 1 }, { x: 1 }] },
  { $and: [{ x: { $eq: 1 } }, { x: 2 }] },
  { x: 1, 'x.x': 1 },
  { x: {}, 'x.x': 1 },
  { x: { x: 1 }, 'x.y': 1 },
]

test('an update with operators begins with the fields that the filter fixes', async () => {
  for (const [filter, x] of TAKEN)
    expect(await upserted(filter, { $set: { a: 1 } }), JSON.stringify(filter)).toMatchObject({ x, a: 1 })
  for (const filter of NOT_TAKEN)
    expect(Object.keys((await upserted(filter, { $set: { a: 1 } })) as Document), JSON.stringify(filter)).toEqual([
      '_id',
      'a',
    ])
  for (const filter of CONFLICTS) expect(await upserted(filter, { $set: { a: 1 } }), JSON.stringify(filter)).toBe(54)
})

test('a replacement takes nothing but the _id', async () => {
  for (const filter of [...TAKEN.map(([taken]) => taken), ...NOT_TAKEN, ...CONFLICTS])
    expect(Object.keys((await upserted(filter, { a: 1 })) as Document), JSON.stringify(filter)).toEqual(['_id', 'a'])
})

test('the _id is taken from the filter or the update, and has one value', async () => {
  for (const update of [{ a: 1 }, { $set: { a: 1 } }, { $setOnInsert: { a: 1 } }]) {
    for (const filter of [{ _id: 1 }, { _id: { $in: [1] } }, { $and: [{ _id: { $eq: 1 } }] }, { $or: [{ _id: 1 }] }])
      expect(await upserted(filter, update)).toEqual({ _id: 1, a: 1 })
    expect(await upserted({ _id: { $gt: 1 } }, update)).not.toMatchObject({ _id: 1 })
    expect(await upserted({ $and: [{ _id: 1 }, { _id: 2 }] }, update)).toBe(54)
  }
  expect(await upserted({ _id: [1, 2] }, { $set: { a: 1 } })).toBe(53)
  expect(await upserted({ _id: [1, 2] }, { a: 1 })).toBe(54)
  expect(await upserted({}, { _id: { $x: 1 } })).toBe(52)
  expect(await upserted({}, { $set: { _id: 5 } })).toEqual({ _id: 5 })
  expect(await upserted({}, { $setOnInsert: { _id: 5 } })).toEqual({ _id: 5 })
  expect(await upserted({ '_id.x': 1, '_id.y': 2 }, { $set: { a: 1 } })).toEqual({ _id: { x: 1, y: 2 }, a: 1 })
  expect(await upserted({ '_id.x': 1 }, { a: 1 })).toBe(111)
  expect(await upserted({ _id: 1 }, { $set: { _id: 2 } })).toBe(66)
  expect(await upserted({ _id: 1 }, { _id: 2 })).toBe(66)
})

test('the filter of an upsert does not compute', async () => {
  for (const filter of [{ $expr: 1 }, { $and: [{ $expr: false }] }, { $nor: [{ $or: [{ $expr: 1 }] }] }])
    expect(await upserted(filter, { $set: { a: 1 } })).toBe(224)
})

test('regular expressions of $all fix nothing, its values do', async () => {
  expect(await upserted({ x: { $all: [/a/, 1] } }, { $set: { a: 1 } })).toMatchObject({ x: 1, a: 1 })
  expect(await upserted({ x: { $all: [/a/, 1, 2] } }, { $set: { a: 1 } })).toBe(54)
})

test('what is inserted may have names that begin with a dollar', async () => {
  expect(await upserted({}, { $set: { $x: 1 } })).toMatchObject({ $x: 1 })
  expect(await upserted({}, { $setOnInsert: { 'a.$x': 1 } })).toMatchObject({ a: { $x: 1 } })
})

test('operators work on what the filter has fixed, and positional ones have no array', async () => {
  expect(await upserted({ x: 5 }, { $inc: { x: 1 }, $push: { list: 1 } })).toMatchObject({ x: 6, list: [1] })
  expect(await upserted({ x: 5 }, { $set: { 'list.$': 1 } })).toBe(2)
})
