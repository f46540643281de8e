import { call } from '#shared/bus/call.ts'
import { containers } from '#shared/contracts/container/containers.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import type { Footprint, Member } from '#shared/contracts/access/resource-pools.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { invalid } from '#shared/errors.ts'

const nothing: Footprint = { cpus: 0, memory: 0, disk: 0 }

/** Measures the amounts of a resource, by kind. Kinds without a service have no entry. */
const measures: { [K in Member['kind']]?: (id: string) => Promise<Footprint> } = {
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
}

/**
 * The amounts of an existing resource.
 * @throws NotFoundError if it does not exist, ValidationError for a kind without a service
 */
export function footprintOf({ kind, id }: Pick<Member, 'kind' | 'id'>): Promise<Footprint> {
  const measure = measures[kind]
  if (measure) return measure(id)
  const known = Object.keys(measures).join(' or ')
  throw invalid(
    'kind',
    `this version of Horcrux has no ${kind} that could be a member; it takes ${known}`,
    'unsupported',
  )
}
