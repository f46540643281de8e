import { setTimeout as delay } from 'node:timers/promises'
import { hostname } from 'node:os'
import { v7 } from 'uuid'
import { type Static, Type } from 'typebox'
import type { Fence } from '#shared/runtime/request-context.ts'
import { config } from '#shared/config/config.ts'
import type { Event } from '#shared/contracts/core/events.ts'
import { Operation } from '#shared/contracts/core/operations.ts'
import { inStore } from '#shared/db/connect.ts'
import { modelOf, type Stored, storedAs } from '#shared/db/model.ts'
import { LostLeaseError, type PackedError, UnavailableError } from '#shared/errors.ts'
import { event, now } from '#shared/events/event.ts'
import { flushSoon, sweepOutboxOf } from '#shared/db/outbox.ts'

/** How long a process may be silent before another takes its operations over. Milliseconds. */
export const leaseMs = () => config().leaseSeconds * 1000
export const activeStates = ['queued', 'running', 'cancelling'] as const

const StoredOperation = Type.Object({
  ...Operation.properties,
  service: Type.String(),
  api_key: Type.Optional(
    Type.String({ description: "By which it was begun, of those with fewer rights than their user's" }),
  ),
  input: Type.Unknown(),
  results: Type.Unknown({ description: 'What each step returned, by its name' }),
  epoch: Type.Integer(),
  lease: Type.Unknown(),
  cancel_requested: Type.Boolean(),
  failure: Type.Unknown(),
  log: Type.Array(Type.Unknown()),
  address: Type.Unknown(),
  touched: Type.Unknown({ description: 'What it has changed, for the audit: name and hashes of each record' }),
})

/** An operation with what only the engine knows of it. */
export type Entry = Omit<Static<typeof StoredOperation>, 'results' | 'lease' | 'failure' | 'address' | 'touched'> & {
  address: string | null
  /** The results of finished steps, as [name, value], in their order. */
  results: [string, unknown][]
  lease: { holder: string; until: string } | null
  failure: PackedError | null
  touched: [string, { before: string | null; after: string | null }][]
}

export const operationModel = modelOf('operations', StoredOperation, [
  { fields: { state: 1, service: 1 } },
  { fields: { user: 1 } },
  { fields: { ended_at: 1 }, sparse: true },
])
sweepOutboxOf(operationModel)

/** This process, as the holder of leases. */
export const holder = `${hostname()}/${process.pid}/${v7().slice(-8)}`

const until = () => new Date(Date.now() + leaseMs()).toISOString()
/** A lease of this process, from now on. */
export const ownLease = () => ({ holder, until: until() })

export function fromStore(document: unknown): Entry {
  const { _id, outbox: _, ...fields } = document as Stored
  return storedAs<Entry>({ id: _id, ...fields })
}

/** What callers see of an entry. */
export function viewOf(entry: Entry): Operation {
  const seen = Object.keys(Operation.properties).map((key) => [key, entry[key as keyof Entry]])
  return Object.fromEntries(seen) as Operation
}

export const updated = (entry: Entry): Event => ({
  ...event('OperationUpdated', viewOf(entry)),
  ...(entry.api_key !== undefined && { for: { api_key: entry.api_key } }),
})

export async function findEntry(id: string): Promise<Entry | null> {
  const found = await inStore(() => operationModel.findById(id).lean())
  return found && fromStore(found)
}

/** @returns false when an operation with this id is there already */
export async function insertEntry(entry: Entry): Promise<boolean> {
  const { id, ...fields } = entry
  const document = { _id: id, ...fields, outbox: [updated(entry)] }
  try {
    await inStore(() => operationModel.create([document] as never))
  } catch (error) {
    if ((error as { code?: number }).code === 11_000) return false
    throw error
  }
  flushSoon(operationModel, storedAs<Stored>(document))
  return true
}

/** Makes this process the one that works on it, with a higher epoch. @returns null when it has ended or is in good hands */
export async function take(id: string): Promise<Entry | null> {
  const free = { $or: [{ lease: null }, { 'lease.until': { $lt: now() } }] }
  const taken = await inStore(() =>
    operationModel
      .findOneAndUpdate(
        { _id: id, state: { $in: activeStates }, ...free } as never,
        { $inc: { epoch: 1, version: 1 }, $set: { lease: ownLease() } } as never,
        { returnDocument: 'after' },
      )
      .lean(),
  )
  return taken && fromStore(taken)
}

/** A store that is away for a while ends no operation: when it is back, the epoch tells whether it is still ours. */
export async function untilStored<T>(command: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + 120_000
  for (;;) {
    try {
      return await inStore(command)
    } catch (error) {
      if (!(error instanceof UnavailableError) || Date.now() > deadline) throw error
      await delay(250)
    }
  }
}

/**
 * Writes into the journal as the holder of this epoch, and renews the lease. Its events tell the version that they are of:
 * when a renewal or a request to cancel came in between, they are made anew. @throws LostLeaseError when another took over
 */
export async function write(
  entry: Entry,
  set: Partial<Entry>,
  events: Event[] = [],
  lines: LogLine[] = [],
): Promise<Entry> {
  const lease = 'lease' in set ? set.lease : ownLease()
  for (let known = entry; ;) {
    const next = { ...known, ...set, version: known.version + 1 }
    const told = known === entry ? events : events.map((one) => (one.type === 'OperationUpdated' ? updated(next) : one))
    const { id: _id, epoch } = entry
    const written = await untilStored(() =>
      operationModel
        .findOneAndUpdate(
          { _id, epoch, version: known.version, state: { $in: activeStates } } as never,
          {
            $set: { ...set, lease },
            $inc: { version: 1 },
            ...(told.length + lines.length > 0 && {
              $push: {
                ...(told.length > 0 && { outbox: { $each: told } }),
                ...(lines.length > 0 && { log: added(lines) }),
              },
            }),
          } as never,
          { returnDocument: 'after' },
        )
        .lean(),
    )
    if (written && told.length > 0) flushSoon(operationModel, storedAs<Stored>(written))
    if (written) return fromStore(written)
    const found = await untilStored(() => findEntry(_id))
    if (found?.epoch !== epoch || !(activeStates as readonly string[]).includes(found.state))
      throw new LostLeaseError(`Operation '${_id}' was taken over`)
    known = found
  }
}

export type LogLine = { time: string; message: string }
export const logLine = (message: string): LogLine => ({ time: now(), message })
/** The last lines count. */
const added = (lines: LogLine[]) => ({ $each: lines, $slice: -500 })

export async function appendLog(id: string, message: string): Promise<void> {
  const update = { $push: { log: added([logLine(message)]) } }
  await inStore(() => operationModel.updateOne({ _id: id } as never, update as never))
}

/** @throws LostLeaseError when a call comes from a run of an operation that is not the current one */
export async function requireCurrent({ operation, epoch }: Fence): Promise<void> {
  const entry = await findEntry(operation)
  if (entry?.epoch !== epoch || entry.ended_at !== null)
    throw new LostLeaseError(`Operation '${operation}' was taken over`)
}
