import { inStore } from '#shared/db/connect.ts'
import { requireCurrent } from '#shared/runtime/request-context.ts'
import type { StoredModel } from '#shared/db/model.ts'

/** Writes whole documents in one command, each in place of the one with its `_id`. */
export async function putAll(
  model: StoredModel,
  documents: readonly (Record<string, unknown> & { _id: string })[],
): Promise<void> {
  if (documents.length === 0) return
  const writes = documents.map((document) => ({
    replaceOne: { filter: { _id: document._id }, replacement: document, upsert: true },
  }))
  await requireCurrent()
  // The driver types `_id` as an ObjectId; ours are strings.
  await inStore(() => model.collection.bulkWrite(writes as never, { ordered: false }))
}
