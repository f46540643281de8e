import type { Collection, Document } from 'mongodb'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startOwnStore, type OwnStore } from './lab.ts'
import { indexesGiveWhatScansGive, type Thing } from './planner-property.ts'

let lab: OwnStore
beforeAll(async () => {
  lab = await startOwnStore()
})
afterAll(() => lab.stop())

test('an index gives what a scan of all documents gives, for any filter, sort and index (a sample)', () =>
  indexesGiveWhatScansGive(lab, { numRuns: 12 }))

type Stats = { stage: string; keys: number; docs: number; sorts: boolean; index: string | undefined }

const explained = async (
  collection: Collection<Thing>,
  find: Document,
  order?: Record<string, 1 | -1>,
  limit = 0,
): Promise<Stats> => {
  const cursor = collection.find(find).limit(limit)
  if (order) cursor.sort(order)
  const plan = await cursor.explain()
  const stages: Document[] = []
  for (let stage = plan['queryPlanner'].winningPlan as Document | undefined; stage; stage = stage['inputStage'])
    stages.push(stage)
  const { totalKeysExamined: keys, totalDocsExamined: docs } = plan['executionStats']
  const leaf = stages.at(-1) as Document
  return {
    stage: leaf['stage'],
    keys,
    docs,
    sorts: stages.some(({ stage }) => stage === 'SORT'),
    index: leaf['indexName'],
  }
}

test('equality, ranges and sorts on indexed fields read no more than they return', async () => {
  const collection = lab.db.collection<Thing>('explained')
  await collection.insertMany(
    Array.from({ length: 2000 }, (_, i) => ({ _id: i, vm: `vm${i % 100}`, at: i, state: i % 2, tags: [i % 7, 'x'] })),
  )
  await collection.createIndex({ vm: 1 })
  await collection.createIndex({ at: -1, _id: -1 })
  await collection.createIndex({ state: 1, at: 1 })
  await collection.createIndex({ tags: 1 })

  expect(await explained(collection, { _id: 5 })).toMatchObject({ index: '_id_', docs: 1 })
  expect(await explained(collection, { vm: 'vm7' })).toMatchObject({ index: 'vm_1', docs: 20 })
  expect(await explained(collection, { vm: { $in: ['vm7', 'vm8'] } })).toMatchObject({ index: 'vm_1', docs: 40 })
  expect(await explained(collection, { vm: /^vm99/ })).toMatchObject({ index: 'vm_1', docs: 20 })
  expect(await explained(collection, { at: { $gte: 10, $lt: 15 } })).toMatchObject({ docs: 5, stage: 'IXSCAN' })
  expect(await explained(collection, { tags: 3 })).toMatchObject({ index: 'tags_1', docs: 286 })
  expect(await explained(collection, {}, { at: -1 }, 100)).toMatchObject({ docs: 100, sorts: false })
  expect(await explained(collection, { at: { $lt: 500 } }, { at: -1, _id: -1 }, 50)).toMatchObject({
    docs: 50,
    sorts: false,
  })
  expect(await explained(collection, { state: 1 }, { at: -1 }, 10)).toMatchObject({
    index: 'state_1_at_1',
    docs: 10,
    sorts: false,
  })
  expect(await explained(collection, { _id: { $gt: 100 } }, { _id: 1 }, 100)).toMatchObject({
    index: '_id_',
    docs: 100,
    sorts: false,
  })
  expect(await explained(collection, { other: 1 })).toMatchObject({ stage: 'COLLSCAN', docs: 2000 })
  expect(await explained(collection, { vm: 'vm1', state: 1 }, { at: 1 })).toMatchObject({
    index: 'vm_1',
    docs: 20,
    sorts: true,
  })
  const nextPage = { $or: [{ at: { $lt: 500 } }, { at: 500, _id: { $lt: 500 } }] }
  expect(await explained(collection, nextPage, { at: -1, _id: -1 }, 50)).toMatchObject({ docs: 51, sorts: false })
})

test('branches of an $or on different fields are found by an index each, and each document once', async () => {
  const collection = lab.db.collection<Thing>('united')
  await collection.insertMany(
    Array.from({ length: 2000 }, (_, i) => ({ _id: i, vm: `vm${i % 100}`, host: `hv${i % 40}`, at: i, state: i % 2 })),
  )
  await collection.createIndex({ vm: 1 })
  await collection.createIndex({ host: 1, at: 1 })
  await collection.createIndex({ at: 1 })
  const either = { $or: [{ vm: 'vm7' }, { host: 'hv7' }] }
  expect(await collection.countDocuments(either)).toBe(60)
  // 20 + 50 keys, of which 10 find a document that the other branch has found
  expect(await explained(collection, either)).toMatchObject({ stage: 'OR', keys: 70, docs: 70 })
  expect(await explained(collection, { state: 1, ...either })).toMatchObject({ stage: 'OR', docs: 70 })
  expect(await explained(collection, either, { at: -1 })).toMatchObject({ stage: 'OR', docs: 70, sorts: true })
  const sorted = await collection.find(either).sort({ at: -1 }).limit(3).toArray()
  expect(sorted.map(({ at }) => at as number)).toEqual([1967, 1927, 1907])
  // the other condition narrows the branch that has an index on both
  expect(await explained(collection, { ...either, at: { $lt: 100 } })).toMatchObject({ docs: 23 })
  expect(await explained(collection, { $or: [{ vm: 'vm7' }, { other: 1 }] })).toMatchObject({ stage: 'COLLSCAN' })
})
