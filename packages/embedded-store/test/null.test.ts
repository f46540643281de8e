import { type Document } from 'mongodb'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestStore, type TestStore } from './lab.ts'

/**
 * What null finds, as MongoDB documents it (https://www.mongodb.com/docs/manual/tutorial/query-for-null-fields/) and its
 * own tests hold it (mongodb/mongo, jstests/core/null_query_semantics.js).
 */
const DOCUMENTS: Record<string, Document> = {
  none: {},
  null: { a: null },
  number: { a: 4 },
  empty: { a: {} },
  'b null': { a: { b: null } },
  'b text': { a: { b: 'hi' } },
  'no elements': { a: [] },
  'array in array': { a: [[]] },
  'all nulls': { a: [null, null] },
  'a null': { a: [1, 'string', null, 4] },
  'no nulls': { a: [1, 'string', 4] },
  'all b null': { a: [{ b: null }, {}] },
  'a b null': { a: [{ b: null }, { b: 3 }] },
  'a b missing': { a: [{ b: 3 }, {}] },
  'no b null': { a: [{ b: 1 }, { b: 3 }, { b: 'string' }] },
}
const all = Object.keys(DOCUMENTS)
const but = (...names: string[]) => all.filter((name) => !names.includes(name))
const dottedNull = ['none', 'null', 'number', 'empty', 'b null', 'all b null', 'a b null', 'a b missing']

const FOUND: [Document, string[]][] = [
  [{ a: null }, ['none', 'null', 'all nulls', 'a null']],
  [{ a: { $ne: null } }, but('none', 'null', 'all nulls', 'a null')],
  [{ a: { $gte: null } }, ['none', 'null', 'all nulls', 'a null']],
  [{ a: { $gt: null } }, []],
  [{ a: { $not: { $gte: null } } }, but('none', 'null', 'all nulls', 'a null')],
  [{ a: { $in: [null, 75] } }, ['none', 'null', 'all nulls', 'a null']],
  [{ a: { $nin: [null, 75] } }, but('none', 'null', 'all nulls', 'a null')],
  [{ a: { $nin: [null, /^str.*/] } }, but('none', 'null', 'all nulls', 'a null', 'no nulls')],
  [{ $or: [{ a: null }, { a: 75 }] }, ['none', 'null', 'all nulls', 'a null']],
  [{ a: { $exists: false } }, ['none']],
  [{ a: { $type: 'null' } }, ['null', 'all nulls', 'a null']],
  [{ a: { $elemMatch: { $eq: null } } }, ['all nulls', 'a null']],
  [
    { a: { $elemMatch: { $ne: null } } },
    ['array in array', 'a null', 'no nulls', 'all b null', 'a b null', 'a b missing', 'no b null'],
  ],
  [{ 'a.b': null }, dottedNull],
  [{ 'a.b': { $ne: null } }, but(...dottedNull)],
  [{ 'a.b': { $in: [null, 75] } }, dottedNull],
  [{ 'a.b': { $nin: [null, 75] } }, but(...dottedNull)],
  [{ 'a.b': { $exists: false } }, but('b null', 'b text', 'all b null', 'a b null', 'a b missing', 'no b null')],
  [{ 'a.b': { $elemMatch: { $eq: null } } }, []],
  [{ a: { $elemMatch: { b: null } } }, ['array in array', 'all b null', 'a b null', 'a b missing']],
  [{ a: { $elemMatch: { b: { $ne: null } } } }, ['a b null', 'a b missing', 'no b null']],
]

/** How an index may be made does not change what is found. */
const INDEXES: [string, Document, Document][] = [
  ['without an index', {}, {}],
  ['with an index on a', { a: 1 }, {}],
  ['with a descending index on a', { a: -1 }, {}],
  ['with a sparse index on a', { a: 1 }, { sparse: true }],
  ['with a partial index on a', { a: 1 }, { partialFilterExpression: { a: { $exists: true } } }],
  ['with an index on a.b', { 'a.b': 1 }, {}],
  ['with an index on a.b and _id', { 'a.b': 1, _id: 1 }, { sparse: true }],
]

describe('null, missing and arrays', () => {
  let lab: TestStore
  beforeAll(async () => {
    lab = await startTestStore()
  })
  afterAll(() => lab.stop())

  test.for(INDEXES)('%s', async ([name, key, options]) => {
    const collection = lab.db.collection<Document & { _id: string }>(name)
    await collection.insertMany(Object.entries(DOCUMENTS).map(([_id, fields]) => ({ _id, ...fields })))
    if (Object.keys(key).length > 0) await collection.createIndex(key as Record<string, 1>, options)
    for (const [filter, ids] of FOUND) {
      const found = await collection.find(filter, { projection: { _id: 1 } }).toArray()
      expect(found.map(({ _id }) => _id).toSorted(), JSON.stringify(filter)).toEqual(ids.toSorted())
    }
  })

  test('a projection of a.b keeps what is on the way', async () => {
    const collection = lab.db.collection<Document & { _id: string }>('without an index')
    const projected = await collection
      .find({}, { projection: { 'a.b': 1, _id: 0 } })
      .sort({ _id: 1 })
      .toArray()
    const kept = Object.fromEntries(all.toSorted().map((name, i) => [name, projected[i]]))
    expect(kept).toEqual({
      ...DOCUMENTS,
      null: {},
      number: {},
      'all nulls': { a: [] },
      'a null': { a: [] },
      'no nulls': { a: [] },
    })
  })
})
