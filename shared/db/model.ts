import mongoose, { type Collection, type Model, Schema, type SchemaDefinition } from 'mongoose'
import type { TObject, TSchema } from 'typebox'
import type { Event } from '#shared/contracts/core/events.ts'
import { inStore } from '#shared/db/connect.ts'

export type Index = {
  fields: Record<string, 1 | -1>
  unique?: true
  sparse?: true
  /** Indexes only records that fit; the index serves only queries with the same condition. */
  partialFilterExpression?: Record<string, unknown>
}
/**
 * A record in the store: with the events that the stream has not yet acknowledged (`outbox`), and the seed of the call that
 * made it (`made_by`), by which a repetition of that call finds it.
 */
export type Stored = {
  _id: string
  version: number
  outbox?: Event[]
  made_by?: string
  changed_by?: string[]
} & Record<string, unknown>
export type StoredModel = Model<Stored>

/** Types a document as its reader knows it: the store has no types, and only the owner of the model writes it, by its schema. */
export const storedAs = <T>(document: unknown): T => document as T

const pathTypes: Record<string, unknown> = { string: String, integer: Number, number: Number, boolean: Boolean }

/** The mongoose type of a property: plain values are typed, everything else is kept as it was checked by its schema. */
function pathOf(schema: TSchema) {
  const { type } = schema as { type?: string }
  return { type: (type && pathTypes[type]) || Schema.Types.Mixed, default: undefined }
}

/** Brings documents that an earlier version stored to the form of today. Every process runs it at its start, also twice. */
export type Migration = (documents: Collection) => Promise<void>

const made: { model: StoredModel; indexes: Index[]; migrate: Migration | undefined }[] = []

/**
 * The mongoose model of a record's schema; `id` is `_id` there. A field that the schema does not have is refused.
 * @param how.migrate run before the indexes are made
 * @param how.hasEvents whether its changes have events: only then it has an index of outboxes, for the sweep
 */
export function modelOf(
  name: string,
  schema: TObject,
  indexes: Index[],
  { hasEvents = false, migrate }: { hasEvents?: boolean; migrate?: Migration | undefined } = {},
): StoredModel {
  const { id: _, ...properties } = schema.properties
  const paths: SchemaDefinition = {
    _id: String,
    version: Number,
    outbox: { type: Schema.Types.Mixed, default: undefined },
    made_by: { type: String, default: undefined },
    changed_by: { type: [String], default: undefined },
  }
  for (const [key, property] of Object.entries(properties)) paths[key] = pathOf(property)
  const model = mongoose.model<Stored>(
    name,
    new Schema<Stored>(paths as never, {
      strict: 'throw',
      versionKey: false,
      minimize: false,
      collection: name,
      autoIndex: false,
    }) as never,
  )
  const outbox: Index = { fields: { 'outbox.id': 1 }, sparse: true }
  made.push({ model, indexes: hasEvents ? [...indexes, outbox] : indexes, migrate })
  return model
}

/** Migrates the collections of every model that this process has, and makes their indexes; harmless when that is done. */
export async function createIndexes(): Promise<void> {
  for (const { model, indexes, migrate } of made) {
    if (migrate) await inStore(() => migrate(model.collection))
    for (const { fields, ...options } of indexes)
      await inStore(() => model.collection.createIndex(fields, options as { unique?: true }))
  }
}
