import { call } from '#shared/bus/call.ts'
import type { Event } from '#shared/contracts/core/events.ts'
import { permissions } from '#shared/contracts/access/permissions.ts'
import { event, now } from '#shared/events/event.ts'
import type { Op } from '#shared/operation/kinds.ts'
import { pathOf, type VmRecord, vmRecords } from '../model.ts'

type Named = Pick<VmRecord, 'id' | 'name'>
const toldOf = ({ id, name }: Named) => ({ vm_id: id, name, timestamp: now() })

/** Tells of the end of a virtual machine also those whose rights on it end with it; to be made while it is there. */
export async function deletionOf(vm: Named): Promise<Event> {
  const question = { path: pathOf(vm.id), privilege: 'VmAudit' as const }
  const witnesses = await call(permissions, 'witnesses', question, { isQuestion: true })
  return { ...event('VmDeleted', toldOf(vm)), for: witnesses }
}

/** The step by which a guest that its host knows becomes a virtual machine of Horcrux; undone, it never was one. */
export async function register(op: Op, name: string, vm: Omit<VmRecord, 'version'>): Promise<void> {
  // With the record itself: so it is told before whatever is told of it later, also after the bus was away.
  const work = async () => {
    if (!(await vmRecords.get(vm.id))) await vmRecords.insert(vm, [event('VmCreated', toldOf(vm))])
  }
  const undo = async () => {
    const deletion = await deletionOf(vm)
    if ((await vmRecords.removeWhere({ _id: vm.id })) > 0) op.emit(deletion)
  }
  await op.step(name, work, { undo })
}
