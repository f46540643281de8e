import type { Watched } from '#shared/contracts/metrics/monitoring.ts'
import { readMany } from '#shared/db/read.ts'
import { vmRecords } from '../model.ts'

/** A message on the bus holds at most a megabyte. */
const pageSize = 1000
const fields = ['name', 'node', 'handle', 'status', 'tags', 'memory'] as const

/** The VMs after an id, or those of some ids, for the service that measures them. Templates never run. */
export async function watched({ after, ids }: { after?: string; ids?: string[] }) {
  const which = ids ? { _id: { $in: ids } } : after === undefined ? {} : { _id: { $gt: after } }
  const found = await readMany<Omit<Watched, 'id'>>(
    vmRecords.model,
    { template: { $ne: true }, ...which },
    { fields, sort: { _id: 1 }, limit: pageSize },
  )
  const data = found.map(({ _id, ...rest }): Watched => ({ id: _id, ...rest }))
  return { data, next: ids || data.length < pageSize ? null : data.at(-1)!.id }
}
