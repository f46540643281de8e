import { AsyncLocalStorage } from 'node:async_hooks'
import { hash } from 'node:crypto'
import type { ServiceBroker } from 'moleculer'
import type { Caller } from '#shared/access/access.ts'

/** What is known of the call or the operation that the code runs in. */
export type Current = {
  broker: ServiceBroker
  /** The Moleculer service that works, such as `vms`. */
  service: string
  caller: Caller
  requestId: string
  /** Set while an operation works: others refuse what comes from an older epoch of it. */
  fence?: Fence
  /** Throws when the operation's lease has run out: another process may have taken over. To be asked before every effect. */
  guard?: () => void
  /** The version that the caller's `If-Match` demands of what is changed. */
  ifMatch?: number
  /** The id that a service wants the operation to have that it starts. */
  operationId?: string
  /** Ids made in this call follow from the seed. */
  idempotency?: { seed: string; count: number }
  /** The records that this call has changed, for the audit. */
  touched?: Touched
}

/** Hashes of records by their names, each as it was first and as it was last; null is none. */
export type Touched = Map<string, { before: string | null; after: string | null }>

/** Which run of an operation a call comes from. */
export type Fence = { operation: string; epoch: number }

const storage = new AsyncLocalStorage<Current>()

export const current = (): Current | undefined => storage.getStore()
export const within = <T>(context: Current, work: () => T): T => storage.run(context, work)

/** Notes that a record is changed or about to be: null is none. Its first `before` counts, and its last `after`. */
export function noteTouched(name: string, change: { before?: object | null; after: object | null }): void {
  const touched = current()?.touched
  if (!touched) return
  const known = touched.get(name)
  touched.set(name, { before: known ? known.before : digest(change.before ?? null), after: digest(change.after) })
}

export const isTouched = (name: string): boolean => current()?.touched?.has(name) ?? false

const digest = (record: object | null) => record && hash('sha256', JSON.stringify(record, inOrder), 'hex')

/** The store may give fields back in another order than they were written in: hashes are over the names in order. */
const inOrder = (_: string, value: unknown) =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
    : value
