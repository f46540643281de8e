import type { Migration } from './model.ts'

/** Gives fields of stored documents another name, and drops the indexes of the old names. @param names new by old */
export const renameFields =
  (names: Record<string, string>): Migration =>
  async (documents) => {
    const olds = Object.keys(names)
    // First: in a unique index, two documents without the old field are the same. A new collection has no indexes to list.
    for (const { name, key } of await documents.indexes().catch(() => []))
      // Another process may drop it at the same time.
      if (name && olds.some((old) => old in key)) await documents.dropIndex(name).catch(() => undefined)
    for (const old of olds)
      for (const { _id, [old]: value } of await documents.find({ [old]: { $exists: true } }).toArray())
        await documents.updateOne({ _id }, { $set: { [names[old]!]: value }, $unset: { [old]: '' } })
  }
