import type { ColumnOf } from '#shared/contracts/metrics/catalog.ts'
import type { Quality } from '#shared/contracts/metrics/monitoring.ts'
import type { Reached } from '#shared/nodes/nodes.ts'

export type GuestValues = Partial<Record<ColumnOf<'vms'>, number>>

/** The measurement of one guest. */
export type GuestSample = {
  /** The hypervisor's own name of the guest. */
  handle: string
  /** Changes at every start, and with it the counters begin anew. */
  run: string
  quality: Quality
  because?: string
  values: GuestValues
}

/**
 * A way to measure the guests of a node, all in one request. Guests that it does not know are not its own.
 * @throws UnavailableError when it does not answer in time
 */
export type GuestSource = {
  name: string
  measure: (reached: Reached) => Promise<GuestSample[]>
}
