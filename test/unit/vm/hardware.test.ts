import { expect, test } from 'vitest'
import type { Vm } from '#shared/contracts/vm/vms.ts'
import { parse } from '../../../services/vm/drivers/qemu/host/capabilities.ts'
import { checkMachine } from '../../../services/vm/drivers/qemu/host/check.ts'
import { contradictions, pendingAfter, waiting } from '../../../services/vm/hardware/hardware.ts'
import type { VmRecord } from '../../../services/vm/model.ts'
import { plainGuest } from '../../lab/guests/plain-guest.ts'

const capabilities = (firmware: string) =>
  parse(`<domainCapabilities><vcpu max="16"/><os supported="yes"><enum name="firmware">${firmware}</enum></os><cpu>
    <mode name="host-passthrough" supported="no"/><mode name="maximum" supported="yes"/>
    <mode name="custom" supported="yes"><model usable="yes">Penryn</model><model usable="no">Haswell</model></mode></cpu>
    <devices><disk supported="yes"><enum name="bus"><value>virtio</value><value>sata</value></enum></disk></devices>
  </domainCapabilities>`)
const wrong = (given: object, firmware = '<value>efi</value>') =>
  checkMachine(capabilities(firmware), { ...plainGuest, ...given }, "node 'n'").map(
    ({ field, message }) => `${field}: ${message}`,
  )

test("missing hardware of a node is found from its libvirt's capabilities", () => {
  expect(wrong({})).toEqual([])
  expect(wrong({ cpu_model: 'Penryn', cpus: 16, firmware: 'uefi' })).toEqual([])
  expect(wrong({ firmware: 'uefi' }, '')).toEqual([
    "firmware: node 'n' has no UEFI for x86_64; Debian's package ovmf brings it",
  ])
  expect(wrong({ cpu_model: 'Haswell', cpus: 17 })).toEqual([
    "cpu_model: the processor of node 'n' lacks features of Haswell",
    "cpus: QEMU on node 'n' gives at most 16",
  ])
  expect(wrong({ cpu_model: 'Eniac' })).toEqual(["cpu_model: node 'n' knows no model Eniac; it has maximum, Penryn"])
})

test('all contradictions in a guest are reported in one answer', () => {
  const topology = { sockets: 1, cores: 3, threads: 1 }
  const vm = { ...plainGuest, cpus: 4, max_cpus: 2, topology, balloon: 1024, boot_order: ['network', 'vdb'] }
  expect(contradictions(vm).map(({ field }) => field)).toEqual(['balloon', 'max_cpus', 'topology', 'boot_order.1'])
  expect(contradictions({ ...plainGuest, cpus: 3, topology })).toEqual([])
})

test("a pending change keeps the guest's current value through further changes, and ends when it is changed back", () => {
  // Only these fields of a record decide it.
  const record = (given: Partial<Vm>) =>
    ({ ...plainGuest, status: 'running', pending: [], ...given }) as unknown as VmRecord
  const first = pendingAfter(record({}), ['memory'], { memory: 1024 })
  expect(first).toEqual([{ field: 'memory', current: 512, next: 1024 }])
  const later = record({ memory: 1024, ...waiting(first) })
  expect(pendingAfter(later, ['memory', 'cpus'], { memory: 2048, cpus: 4 })).toEqual([
    { field: 'memory', current: 512, next: 2048 },
    { field: 'cpus', current: 2, next: 4 },
  ])
  expect(pendingAfter(later, ['memory'], { memory: 512 })).toEqual([])
  expect(pendingAfter(record({ status: 'stopped' }), ['memory'], { memory: 1024 })).toEqual([])
})
