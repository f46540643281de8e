import type { Document } from 'mongodb'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { searchDegree } from '../src/query/regex-guard.ts'
import { serverError, startTestStore, testEmbedded, type TestStore } from './lab.ts'

let lab: TestStore
const things = () => lab.db.collection<Document & { _id: number }>('things')
beforeAll(async () => {
  lab = await startTestStore()
})
beforeEach(async () => {
  await things().deleteMany({})
})
afterAll(() => lab.stop())

test.for<[pattern: string, degree: number]>([
  ['web', 1],
  ['^web', 0],
  ['^web|x', 1],
  ['^web.*1$', 1],
  ['a*b*c', 3],
  ['a{2,5}', 2],
  ['(ab)+', 2],
  ['(?:ab)+c?', 3],
  ['[a*+]x', 1],
  ['[]*]x+', 2],
  ['\\*\\+x', 1],
  ['(a+)+$', Infinity],
  ['(a|a)*$', Infinity],
  ['((a+)b)*', Infinity],
  ['(?:(?:a|b)c){3}', Infinity],
  ['(a)\\1', Infinity],
  ['(?=a)b', Infinity],
])('the search for %s takes steps of degree %d', ([pattern, degree]) => {
  expect(searchDegree(pattern)).toBe(degree)
})

testEmbedded('a regular expression that would take for ever is interrupted, and other clients are served', async () => {
  await things().insertMany([
    { _id: 1, text: `${'a'.repeat(40)}!`, list: [`${'a'.repeat(40)}!`] },
    { _id: 2, text: 'a'.repeat(200_000) },
  ])
  for (const reading of [
    () =>
      things()
        .find({ _id: 1, text: /(a+)+$/ })
        .toArray(),
    () =>
      things()
        .find({ _id: 1, text: { $regex: '^(a|a)*$' } })
        .toArray(),
    () =>
      things()
        .find({ _id: 2, text: /a*a*a*b/ })
        .toArray(),
    () => things().countDocuments({ text: { $in: [/(a+)+$/] } }),
    () => things().findOneAndUpdate({ _id: 1, text: /(a+)+$/ }, { $set: { a: 1 } }),
  ])
    expect((await serverError(reading())).code).toBe(50)
  expect(await things().countDocuments({ text: /^a+!/ })).toBe(1)
  expect(await things().countDocuments({ _id: 1, text: /(a+)!$/ })).toBe(1)
  expect(await lab.db.command({ ping: 1 })).toMatchObject({ ok: 1 })
  await things().insertOne({ _id: 3 })
  expect(await things().countDocuments()).toBe(3)
})

testEmbedded('an answer over 16 MB is an error, and the connection lives', async () => {
  const part = 'x'.repeat(1024 * 1024)
  for (let _id = 0; _id < 20; _id++) await things().insertOne({ _id, text: `${_id}${part}` })
  const error = await serverError(things().distinct('text'))
  expect(error).toMatchObject({ code: 17217 })
  // it comes in several batches
  expect(await things().find().toArray()).toHaveLength(20)
  expect(await lab.db.command({ ping: 1 })).toMatchObject({ ok: 1 })
})

testEmbedded('an error text over 16 MB is an error too', async () => {
  const key = 'y'.repeat(8 * 1024 * 1024)
  await things().createIndex({ k: 1 }, { unique: true })
  await things().insertOne({ _id: 1, k: key })
  const answer = lab.db.command({
    insert: 'things',
    documents: [2, 3].map((_id) => ({ _id, k: key })),
    ordered: false,
  })
  expect(await serverError(answer)).toMatchObject({ code: 10334, codeName: 'BSONObjectTooLarge' })
  expect(await lab.db.command({ ping: 1 })).toMatchObject({ ok: 1 })
  await things().drop()
})
