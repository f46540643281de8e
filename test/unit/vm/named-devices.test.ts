import { v5, v7 } from 'uuid'
import { expect, test } from 'vitest'
import type { Nic } from '#shared/contracts/vm/hardware.ts'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import { idOfSeed, timeOfId } from '#shared/ids.ts'
import { type RequestContext, within } from '#shared/runtime/request-context.ts'
import { isSameDevice } from '../../../services/vm/hardware/devices/apply.ts'
import { diskIn, newDeviceId, nicIn } from '../../../services/vm/hardware/devices/named.ts'
import type { DiskRecord } from '../../../services/vm/model.ts'

const mac = '52:54:00:00:00:01'
/** The fields that name a device; the others do not matter here. */
const guestWith = (device_id: string) => ({
  id: 'it',
  disks: [{ id: 'vda', device_id } as DiskRecord],
  nics: [{ mac, device_id } as Nic],
})
/** A request that was sent so many milliseconds ago. */
const sentAgo = <T>(ms: number, work: () => T): T =>
  within({ call: { id: v7({ msecs: Date.now() - ms }), number: 1 } } as RequestContext, work)

test('a device is found by its id, a disk also by its place and a NIC by its address', () => {
  const device_id = newDeviceId()
  const vm = guestWith(device_id)
  for (const named of [device_id, 'vda']) expect(diskIn(vm, named)).toBe(vm.disks[0])
  for (const named of [device_id, mac]) expect(nicIn(vm, named)).toBe(vm.nics[0])
  for (const named of ['vdb', newDeviceId()]) expect(() => diskIn(vm, named)).toThrow(NotFoundError)
  for (const named of ['52:54:00:00:00:02', newDeviceId()]) expect(() => nicIn(vm, named)).toThrow(NotFoundError)
})

test('a request by place does not mean a device that was attached after it was sent', () => {
  const vm = guestWith(newDeviceId())
  expect(() => sentAgo(10_000, () => diskIn(vm, 'vda'))).toThrow(ConflictError)
  expect(() => sentAgo(10_000, () => nicIn(vm, mac))).toThrow(ConflictError)
  // One by the device's id does, and so does one that is newer than the device, by clocks that differ.
  expect(sentAgo(10_000, () => diskIn(vm, vm.disks[0]!.device_id))).toBe(vm.disks[0])
  expect(sentAgo(500, () => diskIn(vm, 'vda'))).toBe(vm.disks[0])
  expect(sentAgo(-500, () => nicIn(vm, mac))).toBe(vm.nics[0])
})

test('a device that an earlier version has stored is older than every request', () => {
  const vm = guestWith(v5('device of it: vda', v5.URL))
  expect(sentAgo(10_000, () => diskIn(vm, 'vda'))).toBe(vm.disks[0])
  expect(timeOfId('vda')).toBeNull()
  expect(timeOfId(idOfSeed(v7({ msecs: 1_700_000_000_000 }), 'operation'))).toBe(1_700_000_000_000)
})

test('two disks of one place are two devices; without an id the place counts', () => {
  const [one, other] = [newDeviceId(), newDeviceId()]
  expect(isSameDevice({ id: 'vda', device_id: one }, { id: 'vda', device_id: other })).toBe(false)
  expect(isSameDevice({ id: 'vda', device_id: one }, { id: 'vdb', device_id: one })).toBe(true)
  expect(isSameDevice({ id: 'vda' }, { id: 'vda', device_id: one })).toBe(true)
  expect(isSameDevice({ mac }, { mac: '52:54:00:00:00:02', device_id: one })).toBe(false)
})
