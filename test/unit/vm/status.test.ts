import { expect, test } from 'vitest'
import { naming } from '../../../services/vm/drivers/qemu/naming.ts'
import { statusOf } from '../../../services/vm/drivers/qemu/state.ts'
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
