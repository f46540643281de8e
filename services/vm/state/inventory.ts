import type { InventoryVm } from '#shared/contracts/vm/inventory.ts'
import { type VmRecord, vmRecords } from '../model.ts'

/** A message on the bus holds at most a megabyte. */
const pageSize = 1000

/** The modes of a CPU whose features are those of the host. */
const hostCpus = new Set(['host-model', 'host-passthrough', 'maximum'])

const itemOf = (vm: VmRecord): InventoryVm => ({
  id: vm.id,
  name: vm.name,
  node: vm.node,
  status: vm.status,
  memory: vm.memory,
  vcpus: vm.max_cpus ?? vm.cpus,
  architecture: vm.architecture,
  accel: vm.accel,
  sees_host_cpu: vm.cpu_model !== null && hostCpus.has(vm.cpu_model),
  pools: [...new Set(vm.disks.flatMap(({ pool }) => pool ?? []))],
})

/** The VMs after this id, as their placement needs them. Templates are no guests. */
export async function inventory(after: string | undefined): Promise<{ data: InventoryVm[]; next: string | null }> {
  const filter = { template: { $ne: true }, ...(after !== undefined && { _id: { $gt: after } }) }
  const page = await vmRecords.all(filter, pageSize)
  return { data: page.map(itemOf), next: page.length < pageSize ? null : page.at(-1)!.id }
}
