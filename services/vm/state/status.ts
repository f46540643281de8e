import { isDeepStrictEqual } from 'node:util'
import type { Vm, VmStatus } from '#shared/contracts/vm/vms.ts'
import { ConflictError, UnavailableError } from '#shared/errors.ts'
import { event, now } from '#shared/events/event.ts'
import type { Seen } from '../drivers/driver.ts'
import { driverOf } from '../drivers/drivers.ts'
import { waiting } from '../hardware/hardware.ts'
import { type VmRecord, vmRecords } from '../model.ts'

/** What the node says of a guest now. A node that does not answer makes it unknown, with the reason. */
export async function lookAt(vm: VmRecord): Promise<Seen> {
  try {
    return await driverOf(vm).look(vm)
  } catch (error) {
    if (error instanceof UnavailableError) return { status: 'unknown', status_reason: error.message }
    throw error
  }
}

/** Writes down what was seen of a guest, with its event, if that is news. */
export async function note(vm: VmRecord, seen: Seen): Promise<VmRecord> {
  if (vm.status === seen.status && vm.status_reason === seen.status_reason) return vm
  const changed = event('VmStatusChanged', {
    vm_id: vm.id,
    old_status: vm.status,
    new_status: seen.status,
    timestamp: now(),
  })
  const events = vm.status === seen.status ? [] : [changed]
  // A guest that stopped has let go of what it ran with: what waited for the next start waits no more.
  const set = { ...seen, ...(seen.status === 'stopped' && { ...waiting([]), run: null }) }
  return (await vmRecords.updateWhere({ _id: vm.id, version: vm.version }, { set, events })) ?? vm
}

/**
 * Brings a record's status to what its node says. Every replica may do this at any time: whoever writes looks once
 * more, so the one who writes last has seen the last state.
 */
export async function settle(id: string): Promise<VmRecord> {
  for (;;) {
    const vm = await vmRecords.require(id)
    const seen = await lookAt(vm)
    if (vm.status === seen.status && vm.status_reason === seen.status_reason) return endWaiting(vm)
    await note(vm, seen)
  }
}

/** As {@link settle}, after something was done to the guest: no look is needed when the news of it has come already. */
export async function settleAs(id: string, expected: VmStatus): Promise<VmRecord> {
  const vm = await vmRecords.require(id)
  return vm.status === expected && vm.status_reason === null ? endWaiting(vm) : settle(id)
}

/** A guest that runs may have been started anew in between: then it has what waited for that. */
async function endWaiting(vm: VmRecord): Promise<VmRecord> {
  if (vm.pending.length === 0 || vm.status === 'unknown') return vm
  const run = await driverOf(vm).runOf(vm)
  if (run === vm.run) return vm
  return (await vmRecords.updateWhere({ _id: vm.id, version: vm.version }, { set: { ...waiting([]), run } })) ?? vm
}

/**
 * Takes over what was changed at the host behind our back: what the next start has is the record's, and where the
 * running guest has something else, that is pending. A definition that we have yet to write comes first.
 */
export async function takeOver(id: string): Promise<void> {
  // News of a start change the status at the same time: whoever comes second looks again.
  for (let vm = await vmRecords.get(id); vm?.defined; vm = await vmRecords.get(id)) if (await tookOver(vm)) return
}

/** @returns false when somebody else has changed the record meanwhile */
async function tookOver(vm: VmRecord): Promise<boolean> {
  const found = await driverOf(vm).sizes(vm)
  if (!found) return true
  const { next, current } = found
  const fields = ['memory', 'cpus', 'max_cpus'] as const
  const isOff = vm.status === 'stopped'
  const waits = fields
    .filter((field) => !isOff && current[field] !== next[field])
    .map((field) => ({ field, current: current[field], next: next[field] }))
  const others = vm.pending.filter(({ field }) => !fields.some((one) => one === field))
  const shown = waiting([...others, ...waits])
  const { memory, balloon, cpus, max_cpus } = vm
  if (isDeepStrictEqual({ memory, balloon, cpus, max_cpus }, next) && isDeepStrictEqual(vm.pending, shown.pending))
    return true
  const run = shown.pending_restart ? await driverOf(vm).runOf(vm) : null
  const set = { ...next, ...shown, run }
  return (await vmRecords.updateWhere({ _id: vm.id, version: vm.version }, { set })) !== null
}

/** What a guest must be in for each thing that is done to it, and what to do instead. */
export function requireStatus(
  vm: Pick<Vm, 'id' | 'status' | 'status_reason'>,
  action: string,
  allowed: VmStatus[],
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
