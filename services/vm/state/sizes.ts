import { isDeepStrictEqual } from 'node:util'
import { UnavailableError } from '#shared/errors.ts'
import { driverOf } from '../drivers/drivers.ts'
import { waiting } from '../hardware/hardware.ts'
import { type VmRecord, vmRecords } from '../model.ts'
import { bootIdOf } from './boot-id.ts'

/**
 * Records sizes and autostart that were changed at the host by other means: the record gets those of the next start,
 * and what the running guest has otherwise is pending. While a definition of ours is still to be written, nothing is
 * recorded.
 */
export async function recordSizes(id: string): Promise<void> {
  // The event of a start changes the status at the same time: the second writer reads again.
  for (let vm = await vmRecords.get(id); vm?.defined; vm = await vmRecords.get(id)) if (await hasRecorded(vm)) return
}

/** As {@link recordSizes}, before a change of the record. A node that does not answer is told by the change itself. */
export async function readHostChanges(id: string): Promise<void> {
  try {
    await recordSizes(id)
  } catch (error) {
    if (!(error instanceof UnavailableError)) throw error
  }
}

/** @returns false when another writer has changed the record meanwhile */
async function hasRecorded(vm: VmRecord): Promise<boolean> {
  const found = await driverOf(vm).changes?.sizes(vm)
  if (!found) return true
  const { next, current } = found
  const fields = (['memory', 'balloon', 'cpus', 'max_cpus'] as const).filter((field) => current[field] !== undefined)
  const isOff = vm.status === 'stopped'
  const waits = fields
    .filter((field) => !isOff && current[field] !== next[field])
    .map((field) => ({ field, current: current[field], next: next[field] }))
  const others = vm.pending.filter(({ field }) => !fields.some((one) => one === field))
  const shown = waiting([...others, ...waits])
  const { memory, balloon, cpus, max_cpus, autostart } = vm
  const has = { memory, balloon, cpus, max_cpus, ...(next.autostart !== undefined && { autostart }) }
  if (isDeepStrictEqual(has, next) && isDeepStrictEqual(vm.pending, shown.pending)) return true
  const boot_id = shown.pending_restart ? await bootIdOf(vm) : null
  const set = { ...next, ...shown, boot_id }
  return (await vmRecords.updateWhere({ _id: vm.id, version: vm.version }, { set })) !== null
}
