import { expect, test } from 'vitest'
import { check } from '#shared/contract/validate.ts'
import type { Appliance } from '#shared/contracts/storage/appliances.ts'
import { vmImports } from '#shared/contracts/vm/vm-imports.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { mapAppliance } from '../../../services/vm/imports/map-appliance.ts'

const GiB = 2 ** 30
const appliance: Appliance = {
  name: 'Debian 12.web',
  description: 'from elsewhere',
  cpus: 4,
  cores_per_socket: 2,
  memory_bytes: 1000 * 2 ** 20,
  firmware: 'uefi',
  disks: [
    { file: 'a.vmdk', size_bytes: 8 * GiB, bus: 'other', controller: 'lsilogic' },
    { file: null, size_bytes: 10, bus: 'virtio', controller: 'VirtIO' },
  ],
  nics: [
    { network: 'VM Network', model: 'VmxNet3', mac: '00:50:56:00:00:01' },
    { network: 'backup', model: 'virtio', mac: '01:00:5e:00:00:01' },
  ],
  unmapped: ['floppy drive'],
}
const upload = '0198d1c5-7b1e-7000-8000-0000000000ae'
type Given = Parameters<typeof mapAppliance>[1]
const given = (more: Partial<Given> = {}) =>
  check<Given>(vmImports.actions.run.params, { pool: 'images', upload, ...more })
const mapped = (more: Partial<Given> = {}, of = appliance) => mapAppliance(of, given(more), { id: 'it', node: 'hv1' })

test('what guests may lack drivers for becomes SATA and e1000e; each change is told', () => {
  const { request, changed, unmapped, violations } = mapped()
  expect(violations).toEqual([])
  expect(check(vms.actions.create.params, request)).toMatchObject({
    id: 'it',
    name: 'Debian-12-web',
    node: 'hv1',
    description: 'from elsewhere',
    cpus: 4,
    topology: { sockets: 2, cores: 2, threads: 1 },
    memory: 1024,
    firmware: 'uefi',
    disks: [
      { pool: 'images', size: 8 * GiB, bus: 'sata' },
      { pool: 'images', size: GiB, bus: 'virtio' },
    ],
    nics: [
      { network: 'default', model: 'e1000e' },
      { network: 'default', model: 'virtio' },
    ],
  })
  expect(changed).toEqual([
    "its name 'Debian 12.web' becomes 'Debian-12-web'",
    'its memory of 1048576000 bytes becomes 1024 MiB',
    'disk 0: its controller lsilogic becomes sata',
    `disk 1: its 10 bytes become ${GiB}`,
    'NIC 0: its model VmxNet3 becomes e1000e',
    'NIC 0: its address 00:50:56:00:00:01 becomes a new one',
    'NIC 1: its address 01:00:5e:00:00:01 becomes a new one',
  ])
  expect(unmapped).toEqual(['floppy drive'])
})

test('the request decides on name, sizes, storage pool, buses, networks and addresses', () => {
  const { request, violations } = mapped({
    name: 'web',
    cpus: 1,
    memory: 256,
    firmware: 'bios',
    storage: 'fast',
    bus: 'virtio',
    nic_model: 'virtio',
    keep_macs: true,
    networks: [{ from: 'VM Network', bridge: 'lan' }],
  })
  expect(violations).toEqual([])
  expect(request).toMatchObject({
    name: 'web',
    cpus: 1,
    memory: 256,
    firmware: 'bios',
    disks: [
      { pool: 'fast', bus: 'virtio' },
      { pool: 'fast', bus: 'virtio' },
    ],
    nics: [
      { bridge: 'lan', mac: '00:50:56:00:00:01', model: 'virtio' },
      { network: 'default', model: 'virtio' },
    ],
  })
  expect(request).not.toHaveProperty('topology')
  // The address of a group is none of one device.
  expect(request.nics[1]).not.toHaveProperty('mac')
})

test('what is missing is asked for by field, and a network that no NIC has is refused', () => {
  const { violations } = mapped(
    { networks: [{ from: 'other', network: 'default' }] },
    { ...appliance, name: '***', memory_bytes: null },
  )
  expect(violations.map(({ field }) => field)).toEqual(['networks.0.from', 'name', 'memory'])
})
