import { call } from '#shared/bus/call.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { ConflictError } from '#shared/errors.ts'
import { apiPathOf, type VmRecord } from '../model.ts'

/** The linked clones of some VMs, by the VM's path. */
export async function linkedClonesOf(vms: Pick<VmRecord, 'id'>[]): Promise<Map<string, string[]>> {
  const { data } = await call(volumesInternal, 'clonesOf', { owners: vms.map(({ id }) => apiPathOf(id)) })
  const found = new Map<string, Set<string>>()
  for (const { owner, clone, used_by } of data)
    found.set(owner, (found.get(owner) ?? new Set()).add(used_by ?? `volume ${clone}`))
  return new Map([...found].map(([owner, users]) => [owner, [...users].toSorted()]))
}

/** @throws ConflictError naming the linked clones that a VM's disks are the base of */
export async function requireNoLinkedClones(vm: Pick<VmRecord, 'id'>, what: string): Promise<void> {
  const clones = (await linkedClonesOf([vm])).get(apiPathOf(vm.id)) ?? []
  if (clones.length === 0) return
  const named = `${clones.slice(0, 10).join(', ')}${clones.length > 10 ? ' …' : ''}`
  throw new ConflictError(
    `'${vm.id}' cannot ${what}: its disks are backing files in use by ${clones.length} linked clone(s): ${named}. Delete those first`,
    { details: { linked_clones: clones } },
  )
}

/** @throws ConflictError for a template: its linked clones read the disks that it would write */
export function requireNoTemplate({ id, template }: Pick<VmRecord, 'id' | 'template'>, action: string): void {
  if (!template) return
  throw new ConflictError(
    `'${id}' is a template; to ${action} it, turn it back into a virtual machine first: DELETE /api/templates/${id}`,
    { details: { template: true } },
  )
}
