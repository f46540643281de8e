import type { Params, Result } from '#shared/contract/contract.ts'
import type { vms } from '#shared/contracts/vm/vms.ts'
import { type Reached, reach } from '#shared/nodes/nodes.ts'
import { drivers, hypervisors } from '../drivers/drivers.ts'
import { vmRecords } from '../model.ts'

/** The hypervisors of a node whose guests can be adopted. One whose engine the node does not have is left out. */
async function adoptingOn(reached: Reached) {
  const all = hypervisors.map(async (hypervisor) => {
    const { adoption, engineOf } = drivers[hypervisor]
    if (!adoption || (await engineOf(reached).health()).status === 'absent') return []
    return [{ hypervisor, adoption }]
  })
  return (await Promise.all(all)).flat()
}

/** Lists the guests of a node that have no record, by name: a hypervisor lists them in no order. */
export async function unmanaged({
  id: node,
}: Params<typeof vms, 'unmanaged'>): Promise<Result<typeof vms, 'unmanaged'>> {
  const reached = await reach(node)
  const ours = new Set((await vmRecords.all({ node })).map(({ hypervisor, handle }) => `${hypervisor} ${handle}`))
  const lists = (await adoptingOn(reached)).map(async ({ hypervisor, adoption }) => {
    const present = await adoption.list(reached)
    return present
      .filter(({ handle }) => !ours.has(`${hypervisor} ${handle}`))
      .map(({ handle, ...guest }) => ({ ...guest, hypervisor, uuid: handle }))
  })
  const keyOf = ({ name, uuid }: { name: string; uuid: string }) => `${name} ${uuid}`
  return { data: (await Promise.all(lists)).flat().toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1)) }
}

/** Finds a guest of a node by its handle or name. @returns it with its hypervisor; null when there is none */
export async function findUnmanaged(reached: Reached, wanted: string) {
  for (const { hypervisor, adoption } of await adoptingOn(reached)) {
    const found = await adoption.find(reached, wanted)
    if (found) return { hypervisor, found }
  }
  return null
}
