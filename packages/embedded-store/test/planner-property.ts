import fc from 'fast-check'
import type { Collection, Document } from 'mongodb'
import { expect } from 'vitest'
import type { TestStore } from './lab.ts'

export type Thing = Document & { _id: number }

const FIELDS = ['a', 'b', 'c.x', 'c.y', 'a.0', 'c.0.x'] as const

const scalar = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 4 }) },
  { weight: 2, arbitrary: fc.constantFrom('', 'a', 'ab', 'b') },
  fc.constantFrom(null, true, false, 1.5, Number.NaN),
  fc.constantFrom(new Date(0), new Date(1)),
)
const valueOrArray = fc.oneof({ weight: 4, arbitrary: scalar }, fc.array(scalar, { maxLength: 3 }))
const nested = fc.record({ x: valueOrArray, y: scalar }, { requiredKeys: [] })
const randomDocument = fc.record(
  { a: valueOrArray, b: scalar, c: fc.oneof(nested, fc.array(nested, { maxLength: 3 }), scalar) },
  { requiredKeys: [] },
)

const operator = fc.oneof(
  scalar,
  fc.record({ $gt: scalar }),
  fc.record({ $gte: scalar, $lt: scalar }),
  fc.record({ $lte: scalar }),
  fc.record({ $gt: scalar, $lte: scalar }),
  fc.record({ $in: fc.array(scalar, { maxLength: 3 }) }),
  fc.record({ $ne: scalar }),
  fc.record({ $all: fc.array(scalar, { minLength: 1, maxLength: 2 }) }),
  fc.constantFrom(
    { $exists: true },
    { $exists: false },
    /^a/,
    /b$/,
    { $regex: '^ab?' },
    { $size: 1 },
    { $type: 'string' },
  ),
  fc.record({ $not: fc.record({ $gt: scalar }) }),
  fc.record({ $elemMatch: fc.record({ $gt: scalar }) }),
)
const condition = fc.tuple(fc.constantFrom(...FIELDS), operator).map(([field, wanted]) => ({ [field]: wanted }))
const filter = fc.oneof(
  { weight: 4, arbitrary: fc.array(condition, { minLength: 1, maxLength: 3 }).map((all): Document => ({ $and: all })) },
  fc
    .tuple(condition, fc.array(condition, { minLength: 1, maxLength: 2 }))
    .map(([one, any]) => Object.assign({ $or: any }, one)),
)
const direction = fc.constantFrom<1 | -1>(1, -1)
const sort = fc.option(
  fc
    .uniqueArray(fc.constantFrom(...FIELDS, '_id'), { minLength: 1, maxLength: 2 })
    .chain((fields) =>
      fc
        .tuple(...fields.map(() => direction))
        .map((directions) => Object.fromEntries(fields.map((field, i) => [field, directions[i] as 1 | -1]))),
    ),
)
const indexKey = fc
  .uniqueArray(fc.constantFrom(...FIELDS), { minLength: 1, maxLength: 3 })
  .chain((fields) =>
    fc
      .tuple(...fields.map(() => direction))
      .map((directions) => Object.fromEntries(fields.map((field, i) => [field, directions[i] as 1 | -1]))),
  )

const ids = async (
  collection: Collection<Thing>,
  find: Document,
  options: { sort?: Document; hint?: Document | string },
): Promise<unknown[]> => {
  const cursor = collection.find(find, { projection: { _id: 1 }, ...(options.hint ? { hint: options.hint } : {}) })
  if (options.sort) cursor.sort(options.sort as Record<string, 1 | -1>)
  return (await cursor.toArray()).map(({ _id }) => _id)
}

const isParallel = (error: unknown): boolean => error instanceof Error && /parallel arrays/.test(error.message)

/** An index gives what a scan of all documents gives, for any filter, sort and index; with so many generated collections. */
export async function indexesGiveWhatScansGive(
  lab: TestStore,
  runs: { numRuns: number; seed?: number },
): Promise<void> {
  await fc.assert(
    fc.asyncProperty(
      fc.array(randomDocument, { minLength: 1, maxLength: 30 }),
      fc.array(
        fc.tuple(indexKey, fc.constantFrom({}, { sparse: true }, { partialFilterExpression: { a: { $gt: 1 } } })),
        { maxLength: 4 },
      ),
      fc.array(fc.tuple(filter, sort), { minLength: 8, maxLength: 8 }),
      async (documents, indexes, questions) => {
        const collection = lab.db.collection<Thing>('planned')
        await collection.drop()
        await collection.insertMany(documents.map((document, i) => ({ _id: i, ...document })))
        for (const [i, [key, options]] of indexes.entries())
          await collection.createIndex(key, { ...options, name: `index${i}` }).catch((error: unknown) => {
            if (!isParallel(error) && !/already exists/.test(String(error))) throw error
          })
        for (const [find, order] of questions) {
          const options = order ? { sort: { ...order, _id: 1 } } : {}
          const scanned = await ids(collection, find, { ...options, hint: { $natural: 1 } }).catch((error: unknown) => {
            if (isParallel(error)) return undefined
            throw error
          })
          if (!scanned) continue
          const found = await ids(collection, find, options)
          if (!order) {
            found.sort((a, b) => Number(a) - Number(b))
            scanned.sort((a, b) => Number(a) - Number(b))
          }
          expect(found, JSON.stringify({ find, order, indexes })).toEqual(scanned)
          expect(await collection.countDocuments(find)).toBe(scanned.length)
        }
      },
    ),
    runs,
  )
}
