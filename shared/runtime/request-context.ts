import { AsyncLocalStorage } from 'node:async_hooks'
import { hash } from 'node:crypto'
import type { ServiceBroker } from 'moleculer'
import type { Caller } from '#shared/access/access.ts'

/** The request or operation that the running code belongs to. */
export type RequestContext = {
  broker: ServiceBroker
  /** The Moleculer service that works, such as `vms`. */
  service: string
  caller: Caller
  requestId: string
  /** Set while an operation works, and sent with its calls: receivers refuse calls from an older epoch of it. */
  fence?: FencingToken
  /** The run of an operation of another service that this code was called by. */
  calledBy?: FencingToken
  /** The call that this code works for, and the number of its try. The id is a UUID v7 of the time of its making. */
  call?: { id: string; number: number }
  /** Throws when this code is too late to act: see {@link requireCurrent}. */
  requireCurrent?: () => Promise<void> | void
  /** The version that the caller's `If-Match` demands of what is changed. */
  ifMatch?: number
  /** The plan that the caller's `If-Plan` names. */
  ifPlan?: string
  /** The id for the operation that a calling service starts. */
  operationId?: string
  /** Ids made in this call follow from the seed, and records that it changes carry a mark that does. */
  idempotency?: { seed: string; count: number; changes: Map<string, number>; marksRemovals?: boolean }
  /** The records that this call has changed, for the audit. */
  changed?: ChangedRecords
}

/** The records that a call or an operation changes, by name: a hash of each as it was before and as it is now; null is none. */
export type ChangedRecords = Map<string, { before: string | null; after: string | null }>

/** The run of an operation that a call comes from; a later run has a higher epoch. */
export type FencingToken = { operation: string; epoch: number }

const storage = new AsyncLocalStorage<RequestContext>()

export const requestContext = (): RequestContext | undefined => storage.getStore()
export const within = <T>(context: RequestContext, work: () => T): T => storage.run(context, work)

/**
 * To be called right before every effect, which is a write into the store or a change of a host.
 * @throws LostLeaseError when the operation's lease has ended: another process may have taken it over
 * @throws LateCallError when the sender of the call has given it up, or has sent it to another replica
 */
export const requireCurrent = async (): Promise<void> => requestContext()?.requireCurrent?.()

/** The operation that the running code works for, also as a call of it to another service. */
export function operationAtWork(): string | undefined {
  const context = requestContext()
  return (context?.fence ?? context?.calledBy)?.operation
}

/** Notes, for the audit, that a record is changed or about to be: null is none. The first `before` and the last `after` count. */
export function noteChanged(name: string, change: { before?: object | null; after: object | null }): void {
  const changed = requestContext()?.changed
  if (!changed) return
  const known = changed.get(name)
  changed.set(name, { before: known ? known.before : digest(change.before ?? null), after: digest(change.after) })
}

export const isNoted = (name: string): boolean => requestContext()?.changed?.has(name) ?? false

const digest = (record: object | null) => record && hash('sha256', JSON.stringify(record, inOrder), 'hex')

/** Sorts the names of fields, since the store may return them in another order than they were written in. */
const inOrder = (_: string, value: unknown) =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
    : value
