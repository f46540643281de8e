import { isDeepStrictEqual } from 'node:util'
import type { Nic, Pending } from '#shared/contracts/vm/hardware.ts'
import { AppError, ConflictError, UnavailableError, type Violation } from '#shared/errors.ts'
import { log } from '#shared/runtime/log.ts'
import { driverOf } from '../../drivers/drivers.ts'
import type { Device } from '../../drivers/parts.ts'
import { inventoryOf, requireOwnPlace } from '../foreign.ts'
import { waiting } from '../hardware.ts'
import { type DiskRecord, type VmRecord, vmRecords } from '../../model.ts'
import { bootIdOf } from '../../state/boot-id.ts'
import { requireNotSaved } from '../../state/saved.ts'
import { readHostChanges } from '../../state/sizes.ts'
import { requireStatus, settle } from '../../state/status.ts'
import { giveSecrets } from '../secrets.ts'
import { requireNoTemplate } from '../../lifecycle/template-checks.ts'

type Part = DiskRecord | Nic
const partOf = (device: Device): Part => ('disk' in device ? device.disk : device.nic)
const fieldOf = (device: Device) => ('disk' in device ? ('disks' as const) : ('nics' as const))
/** The place of a disk, or the address of a NIC: its name in a boot order. */
const placeOf = (part: Placed) => ('mac' in part ? part.mac : part.id)
type Placed = ({ id: string } | { mac: string }) & { device_id?: string }
/** True for one device. The input of an operation that an earlier version accepted has places only. */
export const isSameDevice = (one: Placed, other: Placed): boolean =>
  one.device_id === undefined || other.device_id === undefined
    ? placeOf(one) === placeOf(other)
    : one.device_id === other.device_id
const without = (parts: Part[], device: Device) => parts.filter((part) => !isSameDevice(part, partOf(device)))

/** Returns a VM whose devices can be changed now, running or stopped. @throws ConflictError */
export async function requireForDevices(id: string, action: string): Promise<VmRecord> {
  requireNoTemplate(await vmRecords.requireForChange(id), action)
  const vm = await settle(id)
  requireStatus(vm, action, ['running', 'paused', 'stopped'])
  await requireNotSaved(vm, action)
  await readHostChanges(id)
  if (vm.status === 'stopped' || driverOf(vm).devices) return vmRecords.require(id)
  throw new ConflictError(
    `A virtual machine of ${vm.hypervisor} has its devices changed while it is off; '${id}' is not`,
  )
}

/** Violations of a list with one item, as those of the item. */
export const ofItem = (violations: Violation[]): Violation[] =>
  violations.map((each) => ({ ...each, field: each.field.replace(/^(?:disks|nics)\.\d+\.?/, '') || 'id' }))

/** The devices that the running guest has. */
const runningWith = (vm: VmRecord, field: 'disks' | 'nics'): Part[] =>
  // The value comes from the same field.
  (vm.pending.find((each) => each.field === field)?.current as Part[] | undefined) ?? vm[field]

/** Pending changes. @param next devices of the record. @param running devices of the running guest */
function waitingWith(vm: VmRecord, field: 'disks' | 'nics', next: Part[], running: Part[]) {
  const others = vm.pending.filter((each) => each.field !== field)
  if (vm.status === 'stopped') return waiting([])
  const mine: Pending[] = isDeepStrictEqual(next, running) ? [] : [{ field, current: running, next }]
  return waiting([...others, ...mine])
}

/** The run of the guest that `pending` is about. */
const pendingRunOf = async (vm: VmRecord) => (vm.status === 'stopped' ? vm.boot_id : bootIdOf(vm))

/**
 * Adds a device to the record, the definition and the running guest. A device that the guest cannot take now is pending
 * until its next start. May be repeated.
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
  await giveSecrets(vm)
  await driver.define(vm)
  // Others may have taken the place since the request: their disk is not replaced.
  if ('disk' in device) await requireOwnPlace(vm, device.disk, 'attach')
  // The host may have told no event of a disk that others added to the definition.
  const { foreign: foreign_disks } = await inventoryOf(vm)
  const isTaken = await takes(vm, device)
  await vmRecords.change(id, (now) => {
    const running = [...without(runningWith(now, field), device), part]
    return { set: { defined: true, foreign_disks, ...(isTaken && waitingWith(now, field, now[field], running)) } }
  })
}

/** Plugs a device into a running guest. @returns false when the guest refuses it and takes it at its next start */
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

/** Unplugs a device from a running guest. @throws ConflictError when the guest keeps it */
export async function free(vm: VmRecord, device: Device, seconds: number, signal?: AbortSignal): Promise<void> {
  const driver = driverOf(vm)
  const { devices } = driver
  if (!devices || (await driver.status(vm)).status === 'stopped') return
  if (await devices.unplug(vm, device, seconds * 1000, signal)) return
  throw new ConflictError(
    `The guest of '${vm.id}' has not let go of ${placeOf(partOf(device))} within ${seconds} s: it may still be starting, be paused, or use it. It has it still; try again, or shut it down first`,
    { details: { device: placeOf(partOf(device)) } },
  )
}

/**
 * Undoes {@link free}, unless the record has lost the device. The loss may be recorded already as a pending change: it
 * ends when the guest has the device again.
 */
export async function plugAgain(id: string, device: Device): Promise<void> {
  const [field, part] = [fieldOf(device), partOf(device)]
  const own = (now: VmRecord): Part | undefined => now[field].find((each: Part) => isSameDevice(each, part))
  const vm = await vmRecords.require(id)
  if (!own(vm) || !(await takes(vm, device))) return
  await vmRecords.change(id, (now) => {
    const running = [...without(runningWith(now, field), device), own(now) ?? part]
    const places = new Map(now[field].map((each, index) => [placeOf(each), index]))
    const inOrder = running.toSorted((a, b) => (places.get(placeOf(a)) ?? 0) - (places.get(placeOf(b)) ?? 0))
    return { set: waitingWith(now, field, now[field], inOrder) }
  })
}

/** Removes an unplugged device from record, boot order and definition. May be repeated. */
export async function takeAway(id: string, device: Device): Promise<void> {
  const field = fieldOf(device)
  const vm = await vmRecords.change(id, async (now) => {
    const next = without(now[field], device)
    const order = now.boot_order?.filter((name) => name !== placeOf(partOf(device))) ?? []
    const waits = waitingWith(now, field, next, without(runningWith(now, field), device))
    const boot_order = order.length === 0 ? null : order
    return { set: { [field]: next, boot_order, ...waits, boot_id: await pendingRunOf(now), defined: false } }
  })
  await driverOf(vm).define(vm)
  await vmRecords.updateWhere({ _id: id }, { set: { defined: true } })
}

/** Undoes {@link give}. */
export async function undoGive(id: string, device: Device): Promise<void> {
  await free(await vmRecords.require(id), device, undoSeconds)
  await takeAway(id, device)
}
const undoSeconds = 20
