import { event, now } from '#shared/events/event.ts'
import type { Op } from '#shared/operation/kinds.ts'
import { type VmRecord, vmRecords } from './model.ts'

/** The step by which a guest that its host knows becomes a virtual machine of Horcrux; undone, it never was one. */
export async function register(op: Op, name: string, vm: Omit<VmRecord, 'version'>): Promise<void> {
  const named = { vm_id: vm.id, name: vm.name, timestamp: now() }
  const work = async () => {
    if (!(await vmRecords.get(vm.id))) await vmRecords.insert(vm)
    op.emit(event('VmCreated', named))
  }
  const undo = async () => {
    if ((await vmRecords.removeWhere({ _id: vm.id })) > 0) op.emit(event('VmDeleted', named))
  }
  await op.step(name, work, { undo })
}
