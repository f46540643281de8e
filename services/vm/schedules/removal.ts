import { call } from '#shared/bus/call.ts'
import { permissions } from '#shared/contracts/access/permissions.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import type { Quota } from '#shared/contracts/vm/snapshot-quotas.ts'
import { log } from '#shared/runtime/log.ts'
import { every } from '#shared/runtime/repeat.ts'
import { vmRecords } from '../model.ts'
import { quotaPathOf } from '../quotas/enforce.ts'
import { quotaRecords, rooms } from '../quotas/model.ts'
import { type ScheduleRecord, scheduleRecords } from './model.ts'

const sweepEveryMs = 60_000

/** Removes a schedule with the rights on it, and never a later one with its id. */
async function removeSchedule({ id, created_at }: ScheduleRecord): Promise<void> {
  await call(permissions, 'forget', { path: `/api/snapshot-schedules/${id}` })
  await scheduleRecords.removeWhere({ _id: id, created_at })
}

/** Removes a quota with the rights on it, and never a later one with its id. */
async function removeQuota({ id, created_at }: Quota): Promise<void> {
  await call(permissions, 'forget', { path: quotaPathOf(id) })
  if ((await quotaRecords.removeWhere({ _id: id, created_at })) > 0) await rooms.removeWhere({ _id: id })
}

/** Removes the snapshot schedules of a deleted VM and the quotas of it alone. Repeating it is fine. */
export async function removeRulesOf(vm: string): Promise<void> {
  for (const schedule of await scheduleRecords.all({ vm_id: vm })) await removeSchedule(schedule)
  for (const quota of await quotaRecords.all({ 'scope.kind': 'vm', 'scope.vm_id': vm })) await removeQuota(quota)
}

/** The id of the VM that a quota is for; undefined for another scope. */
const vmOf = ({ scope }: Quota) => (scope.kind === 'vm' ? scope.vm_id : undefined)
/** The id of the storage pool that a quota is for; undefined for another scope. */
const poolOf = ({ scope }: Quota) => (scope.kind === 'pool' ? scope.pool : undefined)

/** Reads which of these VMs have a record. */
const knownVms = async (ids: (string | undefined)[]) =>
  new Set((await vmRecords.all({ _id: { $in: ids.filter((id) => id !== undefined) } })).map(({ id }) => id))

/**
 * Removes the schedules and quotas whose VM or storage pool is gone. Storage pools are deleted by another service; of VMs,
 * older versions left them, and so does a creation that fails after a person made a schedule for its VM.
 */
export async function removeRulesWithoutOwner(): Promise<void> {
  // The rules are read before their owners: each was made after its owner, so an owner that is missing now was deleted.
  const [schedules, quotas] = [await scheduleRecords.all(), await quotaRecords.all()]
  const vms = await knownVms([...schedules.map(({ vm_id }) => vm_id), ...quotas.map(vmOf)])
  const pooled = quotas.some((quota) => poolOf(quota) !== undefined)
  const places = new Set(pooled ? (await call(pools, 'places', {})).map(({ id }) => id) : [])
  const isGone = (id: string | undefined, known: Set<string>) => id !== undefined && !known.has(id)
  for (const schedule of schedules.filter(({ vm_id }) => isGone(vm_id, vms))) {
    const { id, name, vm_id: vm } = schedule
    log('schedules').info({ id, name, vm }, 'the snapshot schedule of a deleted virtual machine is removed')
    await removeSchedule(schedule)
  }
  for (const quota of quotas.filter((each) => isGone(vmOf(each), vms) || isGone(poolOf(each), places))) {
    const { id, name, scope } = quota
    log('schedules').info({ id, name, scope }, 'the snapshot quota of a deleted owner is removed')
    await removeQuota(quota)
  }
}

/** Removes rules without an owner regularly. @returns a function that stops it */
export const sweepRules = (): (() => void) =>
  every(sweepEveryMs, removeRulesWithoutOwner, {
    part: 'schedules',
    failed: 'the schedules and quotas of deleted virtual machines and storage pools could not be removed',
  })
