import type { Migration } from './model.ts'

type Fields = Record<string, unknown>
type Conversion = {
  /** Finds the documents that are not converted yet. */
  where: Fields
  /** The fields that change; undefined removes one. */
  convert: (document: Fields) => Fields
  /** A field that documents lose; indexes with it are dropped. */
  drop?: string
}

/** Converts the documents that an earlier version stored. */
export const convertDocuments =
  ({ where, convert, drop }: Conversion): Migration =>
  async (documents) => {
    // A new collection has no indexes to list. Another process may drop one at the same time.
    for (const { name, key } of await documents.indexes().catch(() => []))
      if (name && drop !== undefined && drop in key) await documents.dropIndex(name).catch(() => undefined)
    for (const document of await documents.find(where).toArray()) {
      const fields = Object.entries(convert(document))
      const $set = Object.fromEntries(fields.filter(([, value]) => value !== undefined))
      const $unset = Object.fromEntries(fields.filter(([, value]) => value === undefined).map(([key]) => [key, '']))
      const update = {
        ...(Object.keys($set).length > 0 && { $set }),
        ...(Object.keys($unset).length > 0 && { $unset }),
      }
      // A document that a client changed meanwhile is found again at the next start.
      await documents.updateOne({ _id: document._id, version: document['version'] }, update)
    }
  }

/** Runs migrations one after the other. */
export const inOrder =
  (...migrations: Migration[]): Migration =>
  async (documents) => {
    for (const migrate of migrations) await migrate(documents)
  }
