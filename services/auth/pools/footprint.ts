import { call } from '#shared/call.ts'
import { pools } from '#shared/contracts/pools.ts'
import type { Footprint, Member } from '#shared/contracts/resource-pools.ts'
import { vms } from '#shared/contracts/vms.ts'

const nothing: Footprint = { cpus: 0, memory: 0, disk: 0 }

/** What a resource that is there takes of a pool. @throws NotFoundError when it is not there */
export async function footprintOf({ kind, id }: Pick<Member, 'kind' | 'id'>): Promise<Footprint> {
  if (kind === 'vm') {
    const { cpus, memory, disks } = await call(vms, 'get', { id })
    return { cpus, memory, disk: disks.reduce((sum, { size_bytes }) => sum + size_bytes, 0) }
  }
  if (kind === 'storage') await call(pools, 'get', { id })
  return nothing
}
