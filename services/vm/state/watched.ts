import type { Watched } from '#shared/contracts/metrics/monitoring.ts'
import { vmRecords } from '../model.ts'

/** A message on the bus holds at most a megabyte. */
const pageSize = 1000

/** The VMs after this id, for the service that measures them. Templates never run. */
export async function watched(after: string | undefined): Promise<{ data: Watched[]; next: string | null }> {
  const filter = { template: { $ne: true }, ...(after !== undefined && { _id: { $gt: after } }) }
  const page = await vmRecords.all(filter, pageSize)
  const data = page.map(({ id, name, node, handle, status, tags, memory }) => {
    const vm: Watched = { id, name, node, handle, status, tags, memory }
    return vm
  })
  return { data, next: page.length < pageSize ? null : page.at(-1)!.id }
}
