import { call } from '#shared/bus/call.ts'
import { containers } from '#shared/contracts/container/containers.ts'
import { networks } from '#shared/contracts/container/networks.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import type { Footprint, Member } from '#shared/contracts/access/resource-pools.ts'
import { vms } from '#shared/contracts/vm/vms.ts'

const nothing: Footprint = { cpus: 0, memory: 0, disk: 0 }

/** Measures the amounts of a resource, by kind. Storage pools and networks count nothing. */
const measures: { [K in Member['kind']]: (id: string) => Promise<Footprint> } = {
  vm: async (id) => {
    const { cpus, memory, disks } = await call(vms, 'get', { id })
    return { cpus, memory, disk: disks.reduce((sum, { size_bytes }) => sum + size_bytes, 0) }
  },
  container: async (id) => {
    const { cpus, memory } = await call(containers, 'get', { id })
    // Limits of resource pools count whole processors.
    return { cpus: Math.ceil(cpus ?? 0), memory: memory ?? 0, disk: 0 }
  },
  storage: async (id) => {
    await call(pools, 'get', { id })
    return nothing
  },
  network: async (id) => {
    await call(networks, 'get', { id })
    return nothing
  },
}

/** The amounts of an existing resource. @throws NotFoundError if it does not exist */
export const footprintOf = ({ kind, id }: Pick<Member, 'kind' | 'id'>): Promise<Footprint> => measures[kind](id)
