import { expect, test } from 'vitest'
import { asDefined } from '../../../services/vm/drivers/qemu/change.ts'
import { nameFor } from '../../../services/vm/drivers/qemu/definition.ts'
import { type Element, parseXml } from '../../../services/vm/drivers/qemu/xml/xml.ts'
import { naming } from '../../../services/vm/drivers/qemu/naming.ts'
import { statusOf } from '../../../services/vm/drivers/qemu/state.ts'
import { isValid } from '#shared/contract/validate.ts'
import { devices } from '#shared/contracts/vm/devices.ts'
import { Hardware } from '#shared/contracts/vm/hardware.ts'
import { requireStatus } from '../../../services/vm/state/status.ts'
import { placesFor } from '../../../services/vm/hardware/plan.ts'
import type { Definition } from '../../../services/vm/drivers/guest.ts'
import { domainXml } from '../../../services/vm/drivers/qemu/xml/domain-xml.ts'
import { plainGuest } from '../../lab/guests/plain-guest.ts'

test('a guest that QEMU is still starting is not reported as paused', () => {
  expect(statusOf({ state: 'paused', reason: 'starting_up' })).toEqual({ status: 'stopped', status_reason: null })
  expect(statusOf({ state: 'paused', reason: 'user' })).toEqual({ status: 'paused', status_reason: null })
})

test("the reason for a guest's status is given where it says more than the status", () => {
  expect(statusOf({ state: 'paused', reason: 'io_error' })).toEqual({ status: 'paused', status_reason: 'io error' })
  expect(statusOf({ state: 'crashed', reason: 'panicked' })).toEqual({
    status: 'stopped',
    status_reason: 'The guest crashed',
  })
})

test('a guest whose next start restores a saved memory says so, as long as libvirt has that memory', () => {
  const off = { state: 'shut_off', reason: 'saved' } as const
  expect(statusOf({ ...off, isSaved: true }).status_reason).toMatch(
    /memory is saved on the node; its next start restores/,
  )
  expect(statusOf({ state: 'shut_off', reason: 'unknown', isSaved: true }).status_reason).toMatch(/memory is saved/)
  expect(statusOf({ ...off, isSaved: false })).toEqual({ status: 'stopped', status_reason: null })
})

test('a domain keeps its own name until the VM has a new one', async () => {
  const domain = (name: string, mark = '') =>
    parseXml(
      `<domain><name>${name}</name><metadata><horcrux:vm xmlns:horcrux="urn:horcrux:vm:1" ${mark}/></metadata></domain>`,
    )
  const nameOf = (there: Element, name: string, isOn: boolean) => nameFor(there, { id: 'web', name }, async () => isOn)
  const foreign = parseXml('<domain><name>my web.1</name></domain>')
  expect(await nameOf(foreign, 'web', true)).toBe('my web.1')
  expect(await nameOf(foreign, 'web', false)).toBe('web')
  const adopted = domain('my web.1', 'id="web" name="web"')
  for (const isOn of [true, false]) {
    expect(await nameOf(adopted, 'web', isOn)).toBe('my web.1')
    expect(await nameOf(adopted, 'renamed', isOn)).toBe('renamed')
  }
  // Marks of earlier versions have no name.
  expect(await nameOf(domain('web', 'id="web"'), 'renamed', false)).toBe('renamed')
  expect(await nameOf(domain('web', 'id="web"'), 'web', false)).toBe('web')
  // A mark of another VM, such as one of a lost installation, is no reason.
  expect(await nameOf(domain('other.1', 'id="other" name="web"'), 'web', false)).toBe('web')
})

test("a refused action names the guest's status and the statuses that allow it", () => {
  const vm = { id: 'web', status: 'running', status_reason: null } as const
  expect(() => requireStatus(vm, 'start', ['stopped'])).toThrow(
    "Virtual machine 'web' is running; to start it, it must be stopped",
  )
  expect(() => requireStatus({ ...vm, status: 'unknown' }, 'start', ['stopped'])).toThrow('unknown')
})

test('disks have places of their own on each bus', () => {
  expect(placesFor(naming, ['virtio', 'scsi', 'virtio', 'sata'])).toEqual(['vda', 'sda', 'vdb', 'sdb'])
})

test('nothing in a description of a guest breaks out of its XML', () => {
  const vm: Definition = {
    ...plainGuest,
    iso: `/x"><evil a='`,
    seed: null,
    boot: { kernel: '/k', cmdline: '</cmdline><evil/>&' },
  }
  const xml = domainXml(vm, { log: '/log', socket: '/socket', variables: '/variables' })
  expect(xml).not.toContain('<evil')
  expect(xml).toContain('&lt;/cmdline&gt;&lt;evil/&gt;&amp;')
})

test('places beyond vdz are places of disks, in the routes and in the boot order', () => {
  for (const disk of ['vda', 'vdz', 'vdaa', 'sdab', 'hda', 'xvda', '0198d1c5-7b1e-7000-8000-000000000001'])
    expect(isValid(devices.actions.detachDisk.params.properties.disk, disk), disk).toBe(true)
  for (const disk of ['vd', 'vdaaaa', 'vda1', 'xda', 'vda/../x', '0198d1c5-7b1e-7000'])
    expect(isValid(devices.actions.detachDisk.params.properties.disk, disk), disk).toBe(false)
  expect(isValid(Hardware.boot_order, ['vdaa', 'network', 'cdrom', '52:54:00:00:00:01'])).toBe(true)
  expect(isValid(Hardware.boot_order, ['vdaaaa'])).toBe(false)
})

test('memory that libvirt rounds up at a start is no change that waits', () => {
  const next = { memory: 136, balloon: null, cpus: 1, max_cpus: null }
  expect(asDefined({ ...next, memory: 137 }, next)).toEqual(next)
  expect(asDefined({ ...next, memory: 256 }, next).memory).toBe(256)
  expect(asDefined({ ...next, memory: 128 }, next).memory).toBe(128)
})
