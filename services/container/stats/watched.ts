import type { WatchedContainer } from '#shared/contracts/metrics/monitoring.ts'
import { containerRecords } from '../model.ts'

/** A message on the bus holds at most a megabyte. */
const pageSize = 1000

/** The containers after this id, for the service that measures them. */
export async function watched(after: string | undefined): Promise<{ data: WatchedContainer[]; next: string | null }> {
  const page = await containerRecords.all(after === undefined ? {} : { _id: { $gt: after } }, pageSize)
  const data = page.map(({ id, name, node, runtime, status, labels, memory, cpus }): WatchedContainer => ({
    id,
    name,
    node,
    runtime,
    status,
    tags: Object.keys(labels).slice(0, 50),
    memory,
    cpus,
  }))
  return { data, next: page.length < pageSize ? null : page.at(-1)!.id }
}
