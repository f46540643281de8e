import { isDeepStrictEqual } from 'node:util'
import type { Disk, Nic, Pending } from '#shared/contracts/vm/hardware.ts'
import { AppError, ConflictError, UnavailableError, type Violation } from '#shared/errors.ts'
import { log } from '#shared/runtime/log.ts'
import { driverOf } from '../../drivers/drivers.ts'
import type { Device } from '../../drivers/parts.ts'
import { waiting } from '../hardware.ts'
import { type VmRecord, vmRecords } from '../../model.ts'
import { bootIdOf } from '../../state/boot-id.ts'
import { requireStatus, settle } from '../../state/status.ts'
import { requireNoTemplate } from '../../lifecycle/templates.ts'

type Part = Disk | Nic
const partOf = (device: Device): Part => ('disk' in device ? device.disk : device.nic)
const fieldOf = (device: Device) => ('disk' in device ? ('disks' as const) : ('nics' as const))
const keyOf = (part: Part) => ('mac' in part ? part.mac : part.id)
const without = (parts: Part[], device: Device) => parts.filter((part) => keyOf(part) !== keyOf(partOf(device)))

/** A VM whose devices can be changed now, on or off. @throws ConflictError */
export async function requireForDevices(id: string, action: string): Promise<VmRecord> {
  requireNoTemplate(await vmRecords.requireForChange(id), action)
  const vm = await settle(id)
  requireStatus(vm, action, ['running', 'paused', 'stopped'])
  if (vm.status === 'stopped' || driverOf(vm).devices) return vm
  throw new ConflictError(
    `A virtual machine of ${vm.hypervisor} has its devices changed while it is off; '${id}' is not`,
  )
}

/** Violations of a list with one item, as those of the item. */
export const ofItem = (violations: Violation[]): Violation[] =>
  violations.map((each) => ({ ...each, field: each.field.replace(/^(?:disks|nics)\.\d+\.?/, '') || 'id' }))

/** What of these devices the guest has in its run. */
const runningWith = (vm: VmRecord, field: 'disks' | 'nics'): Part[] =>
  // It was put there from the same field.
  (vm.pending.find((each) => each.field === field)?.current as Part[] | undefined) ?? vm[field]

/** What waits for the next start when these are the devices of the record, and those what the guest runs with. */
function waitingWith(vm: VmRecord, field: 'disks' | 'nics', next: Part[], running: Part[]) {
  const others = vm.pending.filter((each) => each.field !== field)
  if (vm.status === 'stopped') return waiting([])
  const mine: Pending[] = isDeepStrictEqual(next, running) ? [] : [{ field, current: running, next }]
  return waiting([...others, ...mine])
}

/** The run of the guest that `pending` is about. */
const pendingRunOf = async (vm: VmRecord) => (vm.status === 'stopped' ? vm.boot_id : bootIdOf(vm))

/**
 * Gives a VM a device: the record, the definition, and the guest that runs. What it cannot take now it has at its next
 * start, and that is pending. Bears being run twice.
 */
export async function give(id: string, device: Device): Promise<void> {
  const [field, part] = [fieldOf(device), partOf(device)]
  const vm = await vmRecords.change(id, async (now) => {
    const next = [...without(now[field], device), part]
    const running = without(runningWith(now, field), device)
    return {
      set: {
        [field]: next,
        ...waitingWith(now, field, next, running),
        boot_id: await pendingRunOf(now),
        defined: false,
      },
    }
  })
  const driver = driverOf(vm)
  await driver.define(vm)
  const isTaken = await takes(vm, device)
  await vmRecords.change(id, (now) => {
    const running = [...without(runningWith(now, field), device), part]
    return { set: { defined: true, ...(isTaken && waitingWith(now, field, now[field], running)) } }
  })
}

/** Whether a guest has it now. What it refuses, it takes at its next start. */
async function takes(vm: VmRecord, device: Device): Promise<boolean> {
  const driver = driverOf(vm)
  if ((await driver.status(vm)).status === 'stopped') return true
  try {
    await driver.devices?.plug(vm, device)
    return true
  } catch (error) {
    if (error instanceof UnavailableError || !(error instanceof AppError)) throw error
    log('vms').info({ err: error, vm: vm.id }, 'a running guest did not take a device')
    return false
  }
}

/** Has a guest that runs let go of a device. @throws ConflictError when it does not; then it has it still */
export async function free(vm: VmRecord, device: Device, seconds: number, signal?: AbortSignal): Promise<void> {
  const driver = driverOf(vm)
  const { devices } = driver
  if (!devices || (await driver.status(vm)).status === 'stopped') return
  if (await devices.unplug(vm, device, seconds * 1000, signal)) return
  throw new ConflictError(
    `The guest of '${vm.id}' has not let go of ${keyOf(partOf(device))} within ${seconds} s: it may still be starting, be paused, or use it. It has it still; try again, or shut it down first`,
    { details: { device: keyOf(partOf(device)) } },
  )
}

/** Undoes {@link free}, as long as the device is to be there. */
export async function plugAgain(id: string, device: Device): Promise<void> {
  const vm = await vmRecords.require(id)
  if (vm[fieldOf(device)].some((part) => keyOf(part) === keyOf(partOf(device))))
    await driverOf(vm).devices?.plug(vm, device)
}

/** Takes a device, which no guest runs with any more, out of record, boot order and definition. Bears being run twice. */
export async function takeAway(id: string, device: Device): Promise<void> {
  const field = fieldOf(device)
  const vm = await vmRecords.change(id, async (now) => {
    const next = without(now[field], device)
    const order = now.boot_order?.filter((name) => name !== keyOf(partOf(device))) ?? []
    const waits = waitingWith(now, field, next, without(runningWith(now, field), device))
    const boot_order = order.length === 0 ? null : order
    return { set: { [field]: next, boot_order, ...waits, boot_id: await pendingRunOf(now), defined: false } }
  })
  await driverOf(vm).define(vm)
  await vmRecords.updateWhere({ _id: id }, { set: { defined: true } })
}

/** Undoes {@link give}. */
export async function takeBack(id: string, device: Device): Promise<void> {
  await free(await vmRecords.require(id), device, undoSeconds)
  await takeAway(id, device)
}
const undoSeconds = 20
