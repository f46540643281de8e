import { call } from '#shared/bus/call.ts'
import { containers } from '#shared/contracts/container/containers.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { ConflictError } from '#shared/errors.ts'

/** Limits the names of each kind in a refusal. */
const named = 100

/** @throws ConflictError that names the VMs, containers and storage pools of a node */
export async function requireEmpty(node: string): Promise<void> {
  const ofNode = { limit: named, filter: `node:${node}` }
  const [guests, contained, storage] = await Promise.all([
    call(vms, 'list', ofNode),
    call(containers, 'list', ofNode),
    call(pools, 'list', ofNode),
  ])
  const total = guests.total + contained.total + storage.total
  if (total === 0) return
  const ids = ({ data }: { data: { id: string }[] }) => data.map(({ id }) => id)
  const holds = [
    sentence('virtual machine', guests.total, ids(guests)),
    sentence('container', contained.total, ids(contained)),
    sentence('storage pool', storage.total, ids(storage)),
  ].filter((part) => part !== null)
  throw new ConflictError(`Node '${node}' still holds ${holds.join('; ')}`, {
    details: { vms: ids(guests), containers: ids(contained), pools: ids(storage), total },
  })
}

function sentence(thing: string, total: number, ids: string[]): string | null {
  if (total === 0) return null
  const shown = ids.slice(0, 5).join(', ')
  return `${total} ${thing}${total === 1 ? '' : 's'} (${shown}${total > 5 ? ', …' : ''})`
}
