import { inStore } from '#shared/db/connect.ts'
import { type Stored, type StoredModel, storedAs } from '#shared/db/model.ts'

/** A filter of the store, such as `{ _id: 'web', version: 3 }`. */
export type Filter = Record<string, unknown>
type Fields = Record<string, unknown>
/** The update operators that both stores have. */
export type Update = {
  $set?: Fields
  $unset?: Fields
  $setOnInsert?: Fields
  $inc?: Record<string, number>
  $push?: Fields
  $pull?: Fields
}

/**
 * The store's commands on one collection. Mongoose types filters and updates by a document type that our models do not
 * carry (their schema is JSON Schema), so the casts stand here and nowhere else. All throw UnavailableError when the
 * store does not answer.
 */

/** Checks that a write failed because its `_id`, or a field with a unique index, is taken (MongoDB's code 11000). */
export const isDuplicate = (error: unknown): boolean => (error as { code?: unknown } | null)?.code === 11_000

/** Inserts a document. Fails with an error that {@link isDuplicate} recognises when its id is taken. */
export async function insert(model: StoredModel, document: Fields & { _id: string }): Promise<void> {
  await inStore(() => model.create([document] as never))
}

/** Inserts a document. @returns false when its id is taken */
export async function insertIfNew(model: StoredModel, document: Fields & { _id: string }): Promise<boolean> {
  try {
    await insert(model, document)
    return true
  } catch (error) {
    if (isDuplicate(error)) return false
    throw error
  }
}

/** The first document that fits, or null. */
export const findOne = async <T = Stored>(model: StoredModel, filter: Filter): Promise<T | null> =>
  storedAs<T | null>(await inStore(() => model.findOne(filter as never).lean()))

type Choice = { fields?: string[]; sort?: Record<string, 1 | -1>; skip?: number; limit?: number }

/** All documents that fit, up to a limit; with `fields`, only these and `_id` of each. */
export async function findAll<T = Stored>(
  model: StoredModel,
  filter: Filter = {},
  { fields, sort = {}, skip = 0, limit = 0 }: Choice = {},
): Promise<T[]> {
  const query = () =>
    model
      .find(filter as never, fields?.join(' '))
      .sort(sort)
      .skip(skip)
      .limit(limit)
  return storedAs<T[]>(await inStore(() => query().lean()))
}

/** Changes one document atomically. @returns false when none fits, or the update changes nothing */
export async function update(model: StoredModel, filter: Filter, change: Update, { upsert = false } = {}) {
  const { modifiedCount } = await inStore(() => model.updateOne(filter as never, change as never, { upsert }))
  return modifiedCount === 1
}

/** Changes all documents that fit, each atomically. @returns how many fit */
export const updateAll = async (model: StoredModel, filter: Filter, change: Update): Promise<number> =>
  (await inStore(() => model.updateMany(filter as never, change as never))).matchedCount

/** Changes one document atomically. @returns it as it is after the change, or null when none fits */
export async function findAndUpdate<T = Stored>(
  model: StoredModel,
  filter: Filter,
  change: Update,
  { upsert = false } = {},
): Promise<T | null> {
  const options = { upsert, returnDocument: 'after' } as const
  return storedAs<T | null>(
    await inStore(() => model.findOneAndUpdate(filter as never, change as never, options).lean()),
  )
}

/** Replaces one document atomically. @returns false when none fits */
export async function replace(model: StoredModel, filter: Filter, document: Fields): Promise<boolean> {
  const found = await inStore(() => model.findOneAndReplace(filter as never, document as never).lean())
  return found !== null
}

/** Deletes one document atomically. @returns it, or null when none fits */
export const findAndRemove = async <T = Stored>(model: StoredModel, filter: Filter): Promise<T | null> =>
  storedAs<T | null>(await inStore(() => model.findOneAndDelete(filter as never).lean()))

/** Deletes one document. @returns how many were deleted, 0 or 1 */
export const removeOne = async (model: StoredModel, filter: Filter): Promise<number> =>
  (await inStore(() => model.deleteOne(filter as never))).deletedCount

/** Deletes all documents that fit. @returns how many were deleted */
export const removeAll = async (model: StoredModel, filter: Filter): Promise<number> =>
  (await inStore(() => model.deleteMany(filter as never))).deletedCount

export const countOf = (model: StoredModel, filter: Filter): Promise<number> =>
  inStore(() => model.countDocuments(filter as never))
