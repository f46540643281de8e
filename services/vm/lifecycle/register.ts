import type { Op } from '#shared/operation/kinds.ts'
import { type VmRecord, vmRecords } from '../model.ts'
import { creationOf, deletionOf } from './events.ts'

/** The step that records a guest, which its host knows already, as a VM; its undo removes the record. */
export async function register(op: Op, name: string, vm: Omit<VmRecord, 'version'>): Promise<void> {
  // In one write with the record, so that this event comes before all later ones of the VM, also after the bus was away.
  const work = async () => {
    if (!(await vmRecords.get(vm.id))) await vmRecords.insert(vm, [creationOf(vm)])
  }
  const undo = async () => {
    const deletion = await deletionOf(vm)
    if ((await vmRecords.removeWhere({ _id: vm.id }, deletion.for)) > 0) op.emit(deletion)
  }
  await op.step(name, work, { undo })
}
