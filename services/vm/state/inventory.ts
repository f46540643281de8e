import { inventory, type InventoryVm } from '#shared/contracts/vm/inventory.ts'
import { implement } from '#shared/service/implement.ts'
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
  moving_to: vm.moving?.runs === true ? vm.moving.target : null,
  memory: vm.memory,
  vcpus: vm.max_cpus ?? vm.cpus,
  architecture: vm.architecture,
  accel: vm.accel,
  sees_host_cpu: vm.cpu_model !== null && hostCpus.has(vm.cpu_model),
  pools: [...new Set(vm.disks.flatMap(({ pool }) => pool ?? []))],
  tags: vm.tags,
  created_at: vm.created_at,
  written_disks: vm.disks.filter(({ readonly }) => !readonly).length,
})

/** The VMs as other services need them all at once. Templates are no guests. */
export const inventoryService = implement(inventory, {
  vms: async ({ after }) => {
    const filter = { template: { $ne: true }, ...(after !== undefined && { _id: { $gt: after } }) }
    const page = await vmRecords.all(filter, pageSize)
    return { data: page.map(itemOf), next: page.length < pageSize ? null : page.at(-1)!.id }
  },
})
