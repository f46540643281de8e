/** Pure decisions about guests that are adopted in one request. */
import { nameOfSource } from '#shared/contracts/storage/disk-source.ts'
import type { Footprint, ResourcePool } from '#shared/contracts/access/resource-pools.ts'
import type { Violation } from '#shared/errors.ts'
import type { Adoptable } from '../drivers/parts.ts'
import type { DiskRecord } from '../model.ts'

/** The name of a guest as one of a VM: other characters become hyphens. */
export const nameAsVm = (name: string): string => name.replaceAll(/[^A-Za-z0-9_-]+/g, '-').slice(0, 255)

export type Chosen = {
  name: string
  found: Pick<Adoptable, 'name' | 'cpus' | 'memory' | 'nics'>
  disks: Pick<DiskRecord, 'id' | 'source' | 'readonly' | 'size_bytes'>[]
}

/** Things that only one VM can have, each with the words for it. */
function thingsOf({ name, found, disks }: Chosen): Map<string, Pick<Violation, 'field' | 'message'>> {
  const things = new Map([[`name ${name}`, { field: 'name', message: `the name '${name}'` }]])
  for (const { mac } of found.nics) things.set(`mac ${mac}`, { field: 'domain', message: `the address ${mac}` })
  for (const { source, readonly } of disks)
    if (!readonly)
      things.set(`disk ${nameOfSource(source)}`, { field: 'domain', message: `the disk ${nameOfSource(source)}` })
  return things
}

/** Finds the guests that want the same as one before them in the list. @returns violations by place; none for most */
export function clashes(all: Chosen[]): Violation[][] {
  const owners = new Map<string, string>()
  return all.map((each) => {
    const violations: Violation[] = []
    for (const [key, { field, message }] of thingsOf(each)) {
      const owner = owners.get(key)
      if (owner === undefined) owners.set(key, each.found.name)
      else violations.push({ field, code: 'taken', message: `${message} is also that of domain '${owner}'` })
    }
    return violations
  })
}

type Size = Footprint & { instances: number }
const amounts = ['cpus', 'memory', 'disk', 'instances'] as const

/** Counts guests in a resource pool, one after the other. @returns the violations of those that it has no room for */
export function overLimits(all: Chosen[], { id, limits, used }: Pick<ResourcePool, 'id' | 'limits' | 'used'>) {
  const sum: Size = { ...used }
  return all.map(({ found: { cpus, memory }, disks }): Violation[] => {
    const own: Size = {
      cpus,
      memory,
      disk: disks.reduce((bytes, { size_bytes }) => bytes + size_bytes, 0),
      instances: 1,
    }
    const full = amounts.filter((amount) => limits[amount] !== null && sum[amount] + own[amount] > limits[amount])
    if (full.length === 0) for (const amount of amounts) sum[amount] += own[amount]
    return full.map((amount) => ({
      field: 'resource_pool',
      code: 'limit',
      message: `'${id}' has no room for it: ${amount} ${sum[amount]} + ${own[amount]} of ${limits[amount]}`,
    }))
  })
}
