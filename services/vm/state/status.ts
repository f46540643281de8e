import { setTimeout as delay } from 'node:timers/promises'
import type { Vm, VmStatus } from '#shared/contracts/vm/vms.ts'
import { ConflictError, UnavailableError } from '#shared/errors.ts'
import { event, now } from '#shared/events/event.ts'
import type { Status } from '../drivers/driver.ts'
import { driverOf } from '../drivers/drivers.ts'
import { waiting } from '../hardware/hardware.ts'
import { type VmRecord, vmRecords } from '../model.ts'
import { bootIdOf } from './boot-id.ts'

/** Reads the status of a guest from its node; `unknown` with the reason when the node does not answer. */
export async function statusNow(vm: VmRecord): Promise<Status> {
  try {
    return vm.moving ? await statusInMove(vm, vm.moving.target) : await driverOf(vm).status(vm)
  } catch (error) {
    if (error instanceof UnavailableError) return { status: 'unknown', status_reason: error.message }
    throw error
  }
}

/** The status of a guest that is at one of two nodes: of the one that runs it. */
async function statusInMove(vm: VmRecord, target: string): Promise<Status> {
  const sides = await driverOf(vm).relocation?.sides(vm, target)
  if (!sides || sides.source === 'running' || sides.source === 'paused') return driverOf(vm).status(vm)
  if (sides.target === 'running' || sides.target === 'paused') return { status: sides.target, status_reason: null }
  if (sides.source === 'split' && sides.target === 'split') return driverOf(vm).status({ ...vm, node: target })
  const lost = sides.target === 'unknown' ? target : sides.source === 'unknown' ? vm.node : null
  if (lost !== null)
    return {
      status: 'unknown',
      status_reason: `It is moving from '${vm.node}' to '${target}', and '${lost}' does not answer`,
    }
  // It stands still for the moment in which the target takes over.
  if (sides.source === 'handed_over') return { status: vm.status, status_reason: vm.status_reason }
  return driverOf(vm).status(vm)
}

/** Records a status, with its event, when it is another one than before. */
export async function recordStatus(vm: VmRecord, found: Status): Promise<VmRecord> {
  if (vm.status === found.status && vm.status_reason === found.status_reason) return vm
  const changed = event('VmStatusChanged', {
    vm_id: vm.id,
    old_status: vm.status,
    new_status: found.status,
    timestamp: now(),
  })
  const events = vm.status === found.status ? [] : [changed]
  // The next start of a guest that stopped has all changes: none is pending any more.
  const set = { ...found, ...(found.status === 'stopped' && { ...waiting([]), boot_id: null }) }
  return (await vmRecords.updateWhere({ _id: vm.id, version: vm.version }, { set, events })) ?? vm
}

/**
 * Brings a record's status to that of its node. Every replica may do this at any time: after each write the status is
 * read once more, so that the last writer has read the last status.
 * @param how.patienceMs waits so long for a node that does not answer, before the status is recorded as unknown
 */
export async function settle(id: string, { patienceMs = 0 } = {}): Promise<VmRecord> {
  for (const deadline = Date.now() + patienceMs; ;) {
    const vm = await vmRecords.require(id)
    const found = await statusNow(vm)
    if (found.status === 'unknown' && Date.now() < deadline) {
      await delay(retryEveryMs)
      continue
    }
    if (vm.status === found.status && vm.status_reason === found.status_reason) return endWaiting(vm)
    await recordStatus(vm, found)
  }
}

/** As {@link settle}, after an action: nothing is read when the event of the action has been recorded already. */
export async function settleAs(id: string, expected: VmStatus): Promise<VmRecord> {
  const vm = await vmRecords.require(id)
  return vm.status === expected && vm.status_reason === null ? endWaiting(vm) : settleAtEnd(id)
}

/**
 * As {@link settle}, for the result of an operation: waits for a node that is away for a moment. The operation has done its
 * work, so nothing is undone for it; and a result with the status `unknown` would be of no use.
 */
export const settleAtEnd = (id: string): Promise<VmRecord> => settle(id, { patienceMs: momentMs })
const momentMs = 20_000
const retryEveryMs = 500

/** Ends the pending changes of a guest that has been started anew since they were recorded. */
async function endWaiting(vm: VmRecord): Promise<VmRecord> {
  if (vm.pending.length === 0 || vm.status === 'unknown') return vm
  const boot_id = await bootIdOf(vm)
  if (boot_id === vm.boot_id) return vm
  return (await vmRecords.updateWhere({ _id: vm.id, version: vm.version }, { set: { ...waiting([]), boot_id } })) ?? vm
}

/** @throws ConflictError when the VM's status is not among those that the action is possible in; UnavailableError when it is unknown */
export function requireStatus(
  vm: Pick<Vm, 'id' | 'status' | 'status_reason'>,
  action: string,
  allowed: readonly VmStatus[],
): void {
  if (allowed.includes(vm.status)) return
  if (vm.status === 'unknown')
    throw new UnavailableError(
      `The status of virtual machine '${vm.id}' is unknown: ${vm.status_reason ?? 'its node does not answer'}`,
    )
  throw new ConflictError(
    `Virtual machine '${vm.id}' is ${vm.status}; to ${action} it, it must be ${allowed.join(' or ')}`,
    {
      details: { status: vm.status, allowed },
    },
  )
}
