import type { Document } from 'mongodb'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { serverError, startTestStore, type TestStore } from '../lab.ts'

let lab: TestStore
const things = () => lab.db.collection<Document & { _id: number }>('things')

beforeAll(async () => {
  lab = await startTestStore()
})
beforeEach(async () => {
  await things().drop()
})
afterAll(() => lab?.stop())

test('limits are kept: a document over 16 MB is refused, one just below is stored', async () => {
  const large = 'x'.repeat(16 * 1024 * 1024 - 100)
  await things().insertOne({ _id: 1, large })
  expect((await things().findOne({ _id: 1 }))?.['large']).toHaveLength(large.length)
  expect((await serverError(things().updateOne({ _id: 1 }, { $set: { more: 'x'.repeat(50_000) } }))).code).toBe(17419)
  const tooLarge = { insert: 'things', documents: [{ _id: 2, large: 'x'.repeat(16_800_000) }] }
  expect((await serverError(lab.db.command(tooLarge))).code).toBe(10334)
})

test('a time limit ends a long read with code 50', async () => {
  await things().insertMany(Array.from({ length: 20_000 }, (_, i) => ({ _id: i, text: 'x'.repeat(50) })))
  expect((await serverError(things().find({ text: /y$/ }).maxTimeMS(1).toArray())).code).toBe(50)
  const late = things().updateMany({}, { $set: { text: 'late' } }, { maxTimeMS: 1 })
  expect((await serverError(late)).code).toBe(50)
  expect(await things().countDocuments({ text: 'late' })).toBe(0)
})
