import { call } from '#shared/bus/call.ts'
import type { Event } from '#shared/contracts/core/events.ts'
import { permissions } from '#shared/contracts/access/permissions.ts'
import { event, now } from '#shared/events/event.ts'
import { apiPathOf, type VmRecord } from '../model.ts'

type Named = Pick<VmRecord, 'id' | 'name'>
const namedIn = ({ id, name }: Named) => ({ vm_id: id, name, timestamp: now() })

export const creationOf = (vm: Named): Event => event('VmCreated', namedIn(vm))

/**
 * The event of a VM's end. It names the users who could see the VM, because their rights on it end with it; so it is made
 * while the VM is there.
 */
export async function deletionOf(vm: Named): Promise<Event> {
  const question = { path: apiPathOf(vm.id), privilege: 'VmAudit' as const }
  const witnesses = await call(permissions, 'witnesses', question, { isQuestion: true })
  return { ...event('VmDeleted', namedIn(vm)), for: witnesses }
}
