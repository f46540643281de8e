import { AsyncLocalStorage } from 'node:async_hooks'
import type { ServiceBroker } from 'moleculer'
import type { Caller } from '#shared/access.ts'

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
  /** The records that this call has changed, each as it was first and as it was last; null is none. For the audit. */
  touched?: Map<string, { before: unknown; after: unknown }>
}

/** Which run of an operation a call comes from. */
export type Fence = { operation: string; epoch: number }

const storage = new AsyncLocalStorage<Current>()

export const current = (): Current | undefined => storage.getStore()
export const within = <T>(context: Current, work: () => T): T => storage.run(context, work)

/** Notes that a record was changed. Without `before` it is not known how it was. */
export function noteTouched(name: string, change: { before?: unknown; after: unknown }): void {
  const touched = current()?.touched
  if (!touched) return
  const known = touched.get(name)
  touched.set(name, { before: known ? known.before : (change.before ?? null), after: change.after })
}
