import { call } from '#shared/bus/call.ts'
import { permissions } from '#shared/contracts/access/permissions.ts'
import { quotaRecords, rooms } from '../quotas/model.ts'
import { scheduleRecords } from '../schedules/model.ts'

/** Removes the snapshot schedules of a deleted VM and the quotas of it alone, with the rights on them. Repeating it is fine. */
export async function removeSnapshotRules(vm: string): Promise<void> {
  for (const { id } of await scheduleRecords.all({ vm_id: vm })) {
    await call(permissions, 'forget', { path: `/api/snapshot-schedules/${id}` })
    await scheduleRecords.removeWhere({ _id: id })
  }
  for (const { id } of await quotaRecords.all({ 'scope.kind': 'vm', 'scope.vm_id': vm })) {
    await call(permissions, 'forget', { path: `/api/snapshot-quotas/${id}` })
    await quotaRecords.removeWhere({ _id: id })
    await rooms.removeWhere({ _id: id })
  }
}
