import type { WatchedContainer } from '#shared/contracts/metrics/monitoring.ts'
import { readMany } from '#shared/db/read.ts'
import { type ContainerRecord, containerRecords } from '../model.ts'

/** A message on the bus holds at most a megabyte. */
const pageSize = 1000
const fields = ['name', 'node', 'runtime', 'status', 'labels', 'memory', 'cpus'] as const

/** The containers after an id, or those of some ids, for the service that measures them. */
export async function watched({ after, ids }: { after?: string; ids?: string[] }) {
  const which = ids ? { _id: { $in: ids } } : after === undefined ? {} : { _id: { $gt: after } }
  const found = await readMany<Pick<ContainerRecord, (typeof fields)[number]>>(containerRecords.model, which, {
    fields,
    sort: { _id: 1 },
    limit: pageSize,
  })
  const data = found.map(({ _id, labels, ...rest }): WatchedContainer => ({
    id: _id,
    ...rest,
    tags: Object.keys(labels).slice(0, 50),
  }))
  return { data, next: ids || data.length < pageSize ? null : data.at(-1)!.id }
}
