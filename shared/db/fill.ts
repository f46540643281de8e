import { inStore } from '#shared/db/connect.ts'
import type { StoredModel } from '#shared/db/model.ts'

/** Documents of one command: a message to the store has at most 48 MB. */
const atOnce = 1000

/**
 * Inserts many new records of a collection, without events, before any service runs: no cache and no subscriber hears
 * of them.
 */
export async function fill<T extends { id: string; version: number }>(
  { model }: { model: StoredModel },
  records: readonly Omit<T, 'version'>[],
): Promise<void> {
  // Each record has its id; the compiler loses it with the version.
  const documents = (records as readonly { id: string }[]).map(({ id: _id, ...fields }) => ({
    _id,
    ...fields,
    version: 1,
  }))
  for (let from = 0; from < documents.length; from += atOnce)
    await inStore(() => model.collection.insertMany(documents.slice(from, from + atOnce) as never, { ordered: true }))
}
