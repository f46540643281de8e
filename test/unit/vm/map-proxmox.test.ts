import { expect, test } from 'vitest'
import { check } from '#shared/contract/validate.ts'
import { proxmoxImports } from '#shared/contracts/vm/proxmox-imports.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { drivers } from '../../../services/vm/drivers/drivers.ts'
import { placesFor } from '../../../services/vm/hardware/plan.ts'
import { drivesOf } from '../../../services/vm/imports/proxmox/map-drives.ts'
import { mapVm } from '../../../services/vm/imports/proxmox/map-vm.ts'
import type { TheirVm } from '../../../services/vm/imports/proxmox/read.ts'

const GiB = 2 ** 30
type Given = Parameters<typeof mapVm>[2]
const connection = { address: 'pve1', token_id: 'root@pam!horcrux', token_secret: 'x' }
const given = (more: object = {}) => ({
  ...check<Given>(proxmoxImports.actions.run.params, {
    ...connection,
    vmid: 100,
    source_node: 'pve1',
    pool: 'images',
    ...more,
  }),
  start: false,
})

/** A configuration in the lines of a file of /etc/pve/qemu-server. */
const theirVm = (lines: string, more: Partial<TheirVm> = {}): TheirVm => {
  const pairs = lines
    .trim()
    .split('\n')
    .map((line): [string, string] => {
      const [key, ...value] = line.trim().split(': ')
      return [key!, value.join(': ')]
    })
  return {
    vmid: 100,
    node: 'pve1',
    config: new Map(pairs),
    digest: 'd',
    isTemplate: false,
    status: 'stopped',
    lock: null,
    snapshots: [],
    ...more,
  }
}
const mapped = (theirs: TheirVm, sizes: number[], more: object = {}) =>
  mapVm(theirs, drivesOf(theirs.config), given(more), {
    id: 'it',
    node: 'hv1',
    sizes,
    placesOf: (buses) => placesFor(drivers.qemu.naming, buses),
  })

const web = `
agent: 1
balloon: 1024
boot: order=scsi0;ide2;net0
cores: 2
cpu: x86-64-v2-AES
description: the shop
ide2: local:iso/debian-12.5.0-amd64-netinst.iso,media=cdrom,size=629M
memory: 2048
meta: creation-qemu=8.1.5,ctime=1710000000
name: web.shop
net0: virtio=BC:24:11:B8:FC:0A,bridge=vmbr0,firewall=1,tag=10
net1: e1000=7A:6C:A5:8B:11:93,bridge=vmbr1
numa: 0
onboot: 1
ostype: l26
scsi0: local-lvm:vm-100-disk-0,discard=on,iothread=1,size=32G
scsi1: local:100/vm-100-disk-1.qcow2,cache=writeback,size=8G
scsihw: virtio-scsi-single
smbios1: uuid=2d30fc97-55b7-42f4-9573-c856a43a2a07
sockets: 2
tags: shop;üb
vmgenid: 0b0b8e1f-0000-4000-8000-000000000000
`

test('a Linux guest keeps its processors, disks, addresses and boot order; everything else is named', () => {
  const theirs = theirVm(web, { snapshots: ['before-upgrade'] })
  const { request, changed, unmapped, violations } = mapped(theirs, [32 * GiB, 8 * GiB], {
    networks: [{ from: 'vmbr0', bridge: 'lan' }],
  })
  expect(violations).toEqual([])
  expect(check(vms.actions.create.params, request)).toMatchObject({
    name: 'web-shop',
    node: 'hv1',
    description: 'the shop',
    cpus: 4,
    topology: { sockets: 2, cores: 2, threads: 1 },
    memory: 2048,
    firmware: 'bios',
    autostart: false,
    start: false,
    tags: ['shop'],
    boot_order: ['sda', 'network'],
    disks: [
      { pool: 'images', size: 32 * GiB, bus: 'scsi' },
      { pool: 'images', size: 8 * GiB, bus: 'scsi', cache: 'writeback' },
    ],
    nics: [
      { bridge: 'lan', model: 'virtio', mac: 'bc:24:11:b8:fc:0a' },
      { network: 'default', model: 'e1000e', mac: '7a:6c:a5:8b:11:93' },
    ],
  })
  expect(changed).toEqual([
    "its name 'web.shop' becomes 'web-shop'",
    'NIC 1: its model e1000 becomes e1000e',
    'its machine type pc (i440fx) becomes q35',
    'it does not start with its node: say so once the one there is gone',
    "its tag 'üb' is left out",
    'its CPU type x86-64-v2-AES becomes the usual one of the node',
  ])
  expect(unmapped).toEqual([
    "snapshot 'before-upgrade': only the present state is copied",
    'scsi0: discard=on, iothread=1',
    'ide2: CD drive with local:iso/debian-12.5.0-amd64-netinst.iso',
    'net0: firewall=1, tag=10',
    'balloon: 1024 (the least memory under pressure)',
    'smbios1: uuid=2d30fc97-55b7-42f4-9573-c856a43a2a07 (the VM has a UUID of its own)',
  ])
})

test('a Windows guest: its UEFI, TPM, devices and cloud-init are named, and buses without drivers become SATA', () => {
  const theirs = theirVm(`
bios: ovmf
bootdisk: ide0
cores: 4
cpu: host,flags=+aes
efidisk0: local:100/vm-100-disk-0.raw,efitype=4m,pre-enrolled-keys=1,size=528K
hostpci0: 0000:01:00,pcie=1
ide0: local:snap-disk-1.raw,size=32G
ide2: local-lvm:vm-100-cloudinit,media=cdrom
scsi3: local:100/vm-100-disk-3.raw,size=1G
ipconfig0: ip=dhcp
machine: pc-q35-8.1
memory: current=8192
name: win
net0: model=vmxnet3,macaddr=12:34:56:78:90:12,bridge=vmbr0
tpmstate0: local:108/vm-100-disk-1.raw,size=4M,version=v2.0
vcpus: 2
vga: qxl
`)
  const { request, changed, unmapped, violations } = mapped(theirs, [GiB, 32 * GiB])
  expect(violations).toEqual([])
  expect(check(vms.actions.create.params, request)).toMatchObject({
    cpus: 2,
    max_cpus: 4,
    topology: { sockets: 1, cores: 4, threads: 1 },
    memory: 8192,
    cpu_model: 'host-passthrough',
    firmware: 'uefi',
    graphics: ['spice'],
    video: 'qxl',
    boot_order: ['sda', 'network'],
    disks: [{ bus: 'sata' }, { bus: 'sata' }],
    nics: [{ model: 'e1000e', mac: '12:34:56:78:90:12' }],
  })
  expect(changed).toContain('disk 0: its controller ide becomes sata')
  expect(changed).toContain('disk 1: its controller scsi (lsi) becomes sata')
  expect(changed).toContain('the flags +aes of its CPU are left out')
  expect(unmapped).toEqual([
    'ide2: cloud-init drive; set cloud-init of the new VM',
    expect.stringMatching(/^efidisk0: .* \(the UEFI variables.*begin empty\)$/),
    'hostpci0: 0000:01:00,pcie=1',
    'ipconfig0: ip=dhcp',
    expect.stringMatching(/^tpmstate0: .* \(the TPM/),
  ])
})

test('everything that forbids the import is told at once', () => {
  const theirs = theirVm(
    `
name: db
scsi0: /dev/disk/by-id/ata-X,size=8G
scsi1: local:100/vm-100-disk-1.vmdk,size=8G
scsi2: -o:x
net0: virtio=BC:24:11:B8:FC:0A,bridge=vmbr0
`,
    { status: 'running', lock: 'backup' },
  )
  const { violations } = mapped(theirs, [], { networks: [{ from: 'vmbr9', bridge: 'lan' }] })
  expect(violations.map(({ message }) => message)).toEqual([
    "no NIC is in 'vmbr9'; there are vmbr0",
    "scsi0: '/dev/disk/by-id/ata-X' is a disk outside the storages there; only their volumes are copied",
    "scsi1: 'local:100/vm-100-disk-1.vmdk' is neither raw nor qcow2",
    "scsi2: '-o:x' is a disk outside the storages there; only their volumes are copied",
    'virtual machine 100 is running: shut it down first',
    'virtual machine 100 is locked there: backup',
  ])
})

test('the disk to boot from comes first, whatever its bus; a MAC address may be left to Horcrux', () => {
  const theirs = theirVm(`
boot: order=sata1;net0
name: a
net0: virtio=BC:24:11:B8:FC:0A,bridge=vmbr0
sata1: zfs:vm-100-disk-1,size=2G
virtio0: zfs:vm-100-disk-0,size=3G
`)
  const { request, disks } = mapped(theirs, [], { keep_macs: false, bus: 'virtio' })
  expect(disks.map(({ file, size_bytes }) => [file, size_bytes])).toEqual([
    ['zfs:vm-100-disk-1', 2 * GiB],
    ['zfs:vm-100-disk-0', 3 * GiB],
  ])
  expect(request).toMatchObject({ boot_order: ['vda', 'network'], nics: [{ model: 'virtio' }] })
  expect(request.nics[0]).not.toHaveProperty('mac')
})
