import { allParts } from '#shared/bus/all-pages.ts'
import { call } from '#shared/bus/call.ts'
import { resourcePools } from '#shared/contracts/access/resource-pools.ts'
import type { Selection } from '#shared/contracts/storage/backup-jobs.ts'
import { inventory, type InventoryVm } from '#shared/contracts/vm/inventory.ts'
import { vms } from '#shared/contracts/vm/vms.ts'

/** `skip`: the reason that it is not backed up. */
export type Target = { vm: string; name: string; node: string; created_at: string; skip: string | null }

const allVms = (): Promise<InventoryVm[]> => allParts((part) => call(inventory, 'vms', part, { isQuestion: true }))

/** A virtual machine without a disk of its own is no failure of a job that found it by its tag or resource pool. */
const targetOf = ({ id, name, node, created_at, written_disks }: InventoryVm): Target => ({
  vm: id,
  name,
  node,
  created_at,
  skip: written_disks === 0 ? 'it has no disk that it writes' : null,
})

/** The virtual machines of a selection as it is now; templates are none. @throws NotFoundError when what it names is gone */
export async function select(selection: Selection): Promise<Target[]> {
  if (selection.kind === 'vm') {
    const { id, name, node, created_at } = await call(vms, 'get', { id: selection.vm_id }, { isQuestion: true })
    return [{ vm: id, name, node, created_at, skip: null }]
  }
  if (selection.kind === 'tag') return (await allVms()).filter(({ tags }) => tags.includes(selection.tag)).map(targetOf)
  const { members } = await call(resourcePools, 'get', { id: selection.resource_pool }, { isQuestion: true })
  const own = new Set(members.flatMap(({ kind, id }) => (kind === 'vm' ? [id] : [])))
  return (await allVms()).filter(({ id }) => own.has(id)).map(targetOf)
}
