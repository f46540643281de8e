import { type Static, Type } from 'typebox'
import type { ListQuery } from '#shared/contracts/common.ts'
import type { Event } from '#shared/contracts/core/events.ts'
import { Operation } from '#shared/contracts/core/operations.ts'
import { type Filter, findAll, findAndUpdate, findOne, insertIfNew, removeAll, removeOne } from '#shared/db/commands.ts'
import { placed } from '#shared/db/filter-field-map.ts'
import { type Lease, leaseFields } from '#shared/db/lease.ts'
import { modelOf, type Stored, storedAs } from '#shared/db/model.ts'
import { flushSoon, sweepOutboxOf } from '#shared/db/outbox.ts'
import { everything, page, type PageOf } from '#shared/db/page.ts'
import type { PackedError } from '#shared/errors.ts'
import { event, now } from '#shared/events/event.ts'

/** The states of an operation that has not ended. */
export const activeStates = ['queued', 'running', 'cancelling'] as const

const StoredOperation = Type.Object({
  ...Operation.properties,
  ...leaseFields,
  service: Type.String(),
  api_key: Type.Optional(
    Type.String({ description: "The API key that began it, of those with fewer rights than their user's" }),
  ),
  input: Type.Unknown(),
  results: Type.Unknown({ description: 'The result of each step that has ended, by its name' }),
  cancel_requested: Type.Boolean(),
  failure: Type.Unknown(),
  log: Type.Array(Type.Unknown()),
  address: Type.Unknown(),
  touched: Type.Unknown({ description: 'The records it has changed, for the audit: name and hashes of each' }),
})

/** An operation in the store: the part that callers see, and the engine's own part. */
export type Entry = Omit<Static<typeof StoredOperation>, 'results' | 'lease' | 'failure' | 'address' | 'touched'> & {
  address: string | null
  /** The results of finished steps, as [name, value], in their order. */
  results: [string, unknown][]
  lease: Lease | null
  failure: PackedError | null
  touched: [string, { before: string | null; after: string | null }][]
}
export type Step = Entry['steps'][number]

/** Opened by the engine only; other code uses the functions below. */
export const operationModel = modelOf(
  'operations',
  StoredOperation,
  [
    { fields: { state: 1, service: 1 } },
    { fields: { created_at: -1, _id: -1 } },
    { fields: { user: 1, created_at: -1, _id: -1 } },
    { fields: { ended_at: 1 }, sparse: true },
  ],
  { hasEvents: true },
)
sweepOutboxOf(operationModel)

export function fromStore(document: unknown): Entry {
  const { _id, outbox: _, ...fields } = document as Stored
  return storedAs<Entry>({ id: _id, ...fields })
}

/** The part of an entry that callers see. */
export function viewOf(entry: Entry): Operation {
  const seen = Object.keys(Operation.properties).map((key) => [key, entry[key as keyof Entry]])
  return Object.fromEntries(seen) as Operation
}

export const isActive = ({ state }: Pick<Entry, 'state'>) => (activeStates as readonly string[]).includes(state)

/** The event that shows an entry as it is. */
export const updated = (entry: Entry): Event => ({
  ...event('OperationUpdated', viewOf(entry)),
  ...(entry.api_key !== undefined && { for: { api_key: entry.api_key } }),
})

export async function findEntry(id: string): Promise<Entry | null> {
  const found = await findOne(operationModel, { _id: id })
  return found && fromStore(found)
}

/** @returns false when an operation with this id exists */
export async function insertEntry(entry: Entry): Promise<boolean> {
  const { id, ...fields } = entry
  const document = { _id: id, ...fields, outbox: [updated(entry)] }
  if (!(await insertIfNew(operationModel, document))) return false
  flushSoon(operationModel, storedAs<Stored>(document))
  return true
}

/** The state of each of these operations; one that does not exist is left out. */
export async function statesOf(ids: string[]): Promise<Map<string, Entry['state']>> {
  type State = Pick<Entry, 'state'> & { _id: string }
  const found = await findAll<State>(operationModel, { _id: { $in: ids } }, { fields: ['state'] })
  return new Map(found.map(({ _id, state }) => [_id, state]))
}

/**
 * A page of entries, the newest first.
 * @param fieldMap the stored field of each field in `query.filter` that has another name in the store
 */
export async function listEntries(
  { filter, ...query }: ListQuery,
  base: Filter,
  fieldMap: Readonly<Record<string, string>> = {},
): Promise<PageOf<Entry>> {
  const asked = { ...query, filter: placed(filter, fieldMap) }
  const found = await page(operationModel, asked, everything, base, 'newest')
  return { ...found, data: found.data.map(fromStore) }
}

/** All entries of these kinds, with only these fields and the id of each. */
export async function entriesOfKinds<K extends keyof Entry>(
  kinds: string[],
  fields: string[],
): Promise<Pick<Entry, K | 'id'>[]> {
  return (await findAll(operationModel, { kind: { $in: kinds } }, { fields })).map(fromStore)
}

/** Notes in the journal that an operation is to be cancelled. @returns it, or null when it has ended or can only go forward */
export async function requestCancel(id: string): Promise<Entry | null> {
  const cancelled = await findAndUpdate(
    operationModel,
    { _id: id, state: { $in: activeStates }, cancellable: true },
    { $set: { state: 'cancelling', cancel_requested: true }, $inc: { version: 1 } },
  )
  return cancelled && fromStore(cancelled)
}

/** Deletes an operation that has ended. @returns false when it is active, or does not exist */
export const removeEnded = async (id: string): Promise<boolean> =>
  (await removeOne(operationModel, { _id: id, ended_at: { $ne: null } })) === 1

/** Deletes operations that ended before this time. */
export const removeEndedBefore = (time: string) => removeAll(operationModel, { ended_at: { $lt: time } })

export type LogLine = { time: string; message: string }
export const logLine = (message: string): LogLine => ({ time: now(), message })
