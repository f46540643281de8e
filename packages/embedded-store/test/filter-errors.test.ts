import type { Document } from 'mongodb'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { serverError, startTestStore, testEmbedded, type TestStore } from './lab.ts'

let lab: TestStore
beforeAll(async () => {
  lab = await startTestStore()
})
afterAll(() => lab.stop())

const REFUSED: [Document, number][] = [
  [{ a: { $unknown: 1 } }, 2],
  [{ $unknown: 1 }, 2],
  [{ a: { $gt: 1, b: 2 } }, 2],
  [{ a: { $gt: /x/ } }, 2],
  [{ a: { $ne: /x/ } }, 2],
  [{ a: { $in: 1 } }, 2],
  [{ a: { $in: [{ $gt: 1 }] } }, 2],
  [{ a: { $nin: 'x' } }, 2],
  [{ a: { $all: 1 } }, 2],
  [{ a: { $all: [1, { $gt: 1 }] } }, 2],
  [{ a: { $all: [{ $elemMatch: { b: 1 } }, 1] } }, 2],
  [{ a: { $elemMatch: 1 } }, 2],
  [{ a: { $not: 1 } }, 2],
  [{ a: { $not: {} } }, 2],
  [{ a: { $size: -1 } }, 2],
  [{ a: { $size: '1' } }, 2],
  [{ a: { $mod: [0, 1] } }, 2],
  [{ a: { $mod: [1] } }, 2],
  [{ a: { $type: 'nothing' } }, 2],
  [{ a: { $type: 99 } }, 2],
  [{ a: { $type: [] } }, 9],
  [{ a: { $regex: '(' } }, 51091],
  [{ a: { $regex: 'a', $options: 'q' } }, 51108],
  [{ a: { $regex: /a/i, $options: 'm' } }, 51075],
  [{ a: { $options: 'i' } }, 2],
  [{ a: { $all: [/x/, { $elemMatch: { b: 1 } }] } }, 2],
  [{ a: { $elemMatch: { $expr: 1 } } }, 2],
  [{ a: { $where: 1 } }, 2],
  [{ $or: [] }, 2],
  [{ $and: {} }, 2],
  [{ $nor: [1] }, 2],
]

test('a filter that is wrong is refused with the code of MongoDB, also on an empty collection', async () => {
  for (const [filter, code] of REFUSED) {
    const error = await serverError(lab.db.collection('none').find(filter).toArray())
    expect(error.code, JSON.stringify(filter)).toBe(code)
  }
})

testEmbedded('what the embedded store does not have it says', async () => {
  for (const filter of [{ $where: '1' }, { $text: { $search: 'x' } }, { a: { $near: [0, 0] } }, { $jsonSchema: {} }])
    expect((await serverError(lab.db.collection('none').find(filter).toArray())).code).toBe(238)
  const collated = lab.db.collection('none').find({}, { collation: { locale: 'de' } })
  expect((await serverError(collated.toArray())).code).toBe(238)
})
