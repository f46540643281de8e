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
  /** The version that the caller's `If-Match` demands of what is changed. */
  ifMatch?: number
  /** The id that a service wants the operation to have that it starts. */
  operationId?: string
  /** Ids made in this call follow from the seed. */
  idempotency?: { seed: string; count: number }
}

const storage = new AsyncLocalStorage<Current>()

export const current = (): Current | undefined => storage.getStore()
export const within = <T>(context: Current, work: () => T): T => storage.run(context, work)
