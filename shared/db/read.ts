import { inStore } from '#shared/db/connect.ts'
import type { StoredModel } from '#shared/db/model.ts'

type Filter = Record<string, unknown>
type How = {
  sort?: Record<string, 1 | -1>
  skip?: number
  limit?: number
  /** Only these fields, and `_id`. */
  fields?: readonly string[]
}

/**
 * Reads documents with the driver, without mongoose. `T` is their type as the reader knows it: the store has no types, and
 * the owner of the collection writes them by its schema.
 */
export async function readMany<T>(
  model: StoredModel,
  filter: Filter,
  { fields, ...how }: How = {},
): Promise<(T & { _id: string })[]> {
  const projection = fields && Object.fromEntries(fields.map((field) => [field, 1]))
  const options = { ...how, ...(projection && { projection }) }
  const found = await inStore(() => model.collection.find(filter, options).toArray())
  return found as never
}

/** The first of them, or undefined. */
export async function readFirst<T>(model: StoredModel, filter: Filter, how: Omit<How, 'limit'> = {}) {
  const [first] = await readMany<T>(model, filter, { ...how, limit: 1 })
  return first
}
