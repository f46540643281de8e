import type { Document } from 'mongodb'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { serverError, startTestStore, type TestStore } from './lab.ts'

let lab: TestStore
type Thing = Document & { _id: number }
const things = () => lab.db.collection<Thing>('projected')

beforeAll(async () => {
  lab = await startTestStore()
})
afterAll(() => lab.stop())
beforeEach(async () => {
  await things().deleteMany({})
})

/** A document, a projection, and what it makes of the document or the code of the error; `_id` is 1. */
type Row = [document: Document, projection: Document, result: Document | number]

const outcome = async (found: Promise<Document[]>): Promise<unknown> =>
  found.then(
    ([document]) => document,
    async () => (await serverError(found)).code,
  )

const BOTH: Row[] = [
  [{ a: 1, b: { c: 1, d: 2 } }, { b: { c: 1 } }, { _id: 1, b: { c: 1 } }],
  [{ a: 1, b: { c: 1, d: 2 } }, { 'b.c': 0 }, { _id: 1, a: 1, b: { d: 2 } }],
  [{ a: [{ x: 1, y: 2 }, 3, [{ x: 4 }]] }, { 'a.x': 1 }, { _id: 1, a: [{ x: 1 }, [{ x: 4 }]] }],
  [{ a: [{ x: 1, y: 2 }, 3, [{ x: 4 }]] }, { 'a.x': 0 }, { _id: 1, a: [{ y: 2 }, 3, [{}]] }],
  [{ a: 1, b: 2 }, { a: 1, _id: 0 }, { a: 1 }],
  [{ a: 1, b: 2 }, { a: 0, _id: 0 }, { b: 2 }],
  [{ a: 1 }, { _id: 0 }, { a: 1 }],
  [{ a: 1 }, { _id: 1 }, { _id: 1 }],
  [
    { a: 1, b: 2 },
    { _id: 1, a: 0 },
    { _id: 1, b: 2 },
  ],
  [{ a: 1, b: 2 }, { '_id.x': 1 }, {}],
  [{ a: 1, b: 2 }, { missing: 1 }, { _id: 1 }],
  [
    { a: 1, b: 2 },
    { a: true, b: 2.5 },
    { _id: 1, a: 1, b: 2 },
  ],
  [{ a: 1 }, { a: 1, b: 0 }, 31254],
  [{ a: 1 }, { a: 0, b: 1 }, 31253],
  [{ a: 1 }, { a: 1, 'a.b': 1 }, 31249],
  [{ a: 1 }, { 'a.b': 1, a: 1 }, 31250],
  [{ a: 1 }, { 'a.b': 1, a: 0 }, 31250],
  [{ a: 1 }, { a: {} }, 51270],
  [{ a: 1 }, { a: { b: {} } }, 51270],
  [{ a: 1 }, { '': 1 }, 40352],
  [{ a: 1 }, { 'a.': 1 }, 40353],
  [{ a: 1 }, { 'a..b': 1 }, 15998],
  [{ a: 1 }, { $a: 1 }, 16410],
]

const STAGE: Row[] = [[{ a: 1 }, {}, 51272]]

const inFind = async ([document, projection, result]: Row): Promise<void> => {
  await things().insertOne({ _id: 1, ...document })
  expect(await outcome(things().find({}, { projection }).toArray())).toEqual(result)
}

const inStage = async ([document, projection, result]: Row): Promise<void> => {
  await things().insertOne({ _id: 1, ...document })
  expect(
    await outcome(
      things()
        .aggregate([{ $project: projection }])
        .toArray(),
    ),
  ).toEqual(result)
}

describe('a find', () => {
  test.for(BOTH)('%j', inFind)
})

describe('$project', () => {
  test.for([...BOTH, ...STAGE])('%j', inStage)
})

test('fields keep their order', async () => {
  await things().insertOne({ _id: 1, a: 1, b: 2, c: 3 })
  const [found] = await things()
    .find({}, { projection: { c: 1, b: 1 } })
    .toArray()
  expect(Object.keys(found as Document)).toEqual(['_id', 'b', 'c'])
})
