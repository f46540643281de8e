import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { cloudinit } from '#shared/contracts/vm/cloudinit.ts'
import { devices } from '#shared/contracts/vm/devices.ts'
import { templates } from '#shared/contracts/vm/templates.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { poolPath, startGuests } from '../../../lab/guests/guests.ts'
import { labHosts } from '../../../lab/hosts/lab.ts'
import { done } from '../../../lab/product/run-operation.ts'
import { until } from '../../../lab/wait.ts'

const GiB = 2 ** 30
const [host] = labHosts
let lab: Awaited<ReturnType<typeof startGuests>>

const image = (path: string) =>
  localHost().runChecked('qemu-img', ['create', '-q', '-f', 'qcow2', join(host!.dir, path), String(GiB)])
const domain = (name: string, ...parts: string[]) =>
  `<domain type="qemu"><name>${name}</name><uuid>${randomUUID()}</uuid><memory unit="MiB">128</memory><vcpu>1</vcpu><os><type arch="x86_64" machine="pc">hvm</type></os><devices>${parts.join('')}</devices></domain>`
const disk = (path: string, dev: string, bus: string) =>
  `<disk type="file" device="disk"><driver name="qemu" type="qcow2"/><source file="${path}"/><target dev="${dev}" bus="${bus}"/></disk>`
const change = async (id: string, action: keyof typeof devices.actions, params: object) =>
  (await done(lab.horcrux, devices, action, { id, ...params })) as Vm
const adopt = async (id: string) => (await done(lab.horcrux, vms, 'adopt', { node: 'hv1', domain: id, id })) as Vm
/** The places and sources of a definition: `vda /path`. */
const listed = async (name: string) =>
  (await lab.virsh('domblklist', name, '--inactive')).split('\n').map((line) => line.trim().split(/\s+/).join(' '))
const get = (id: string) => lab.horcrux.call(vms, 'get', { id })

beforeAll(async () => {
  lab = await startGuests(host!)
})
afterAll(() => lab?.horcrux.stop())

test('a disk of a libvirt volume is shown as foreign, keeps its place, and is named by what cannot carry it', async () => {
  const { horcrux, defineByHand } = lab
  const volume =
    '<disk type="volume" device="disk"><source pool="theirs" volume="root"/><target dev="vda" bus="virtio"/></disk>'
  const drive = '<disk type="file" device="cdrom"><target dev="sda" bus="sata"/><readonly/></disk>'
  await defineByHand('mixed', domain('mixed', volume, drive))
  const adopted = await adopt('mixed')
  expect(adopted).toMatchObject({
    disks: [],
    foreign_disks: [{ id: 'vda', device: 'disk', type: 'volume', source: 'theirs/root' }],
  })
  const ids = (vm: Vm) => vm.disks.map(({ id }) => id)
  expect(ids(await change('mixed', 'attachDisk', { pool: 'images', size: GiB }))).toEqual(['vdb'])
  expect(ids(await change('mixed', 'attachDisk', { pool: 'images', size: GiB, bus: 'sata' }))).toEqual(['vdb', 'sdb'])
  expect(ids(await change('mixed', 'attachDisk', { pool: 'images', size: GiB, bus: 'scsi' }))).toHaveLength(3)
  expect(await listed('mixed')).toEqual(expect.arrayContaining(['vda root', 'sda -']))

  const named = /vda \(theirs\/root\)/
  await expect(horcrux.call(vms, 'clone', { vm: 'mixed', name: 'copy', mode: 'full' })).rejects.toThrow(named)
  await expect(horcrux.call(templates, 'create', { vm_id: 'mixed' })).rejects.toThrow(named)
  await expect(horcrux.call(devices, 'detachDisk', { id: 'mixed', disk: 'vda' })).rejects.toThrow('not found')

  expect(ids(await change('mixed', 'detachDisk', { disk: 'vdb', purge: true }))).not.toContain('vdb')
  expect(await listed('mixed')).toEqual(expect.arrayContaining(['vda root', 'sda -']))
  expect((await get('mixed')).foreign_disks).toHaveLength(1)
  await done(horcrux, vms, 'delete', { id: 'mixed', purge: true })
})

test('a disk that virsh attached stays when another is attached; one that virsh replaced is neither written nor removed', async () => {
  const { horcrux, virsh, defineByHand } = lab
  await image('theirs.qcow2')
  await image('pool/overlay.qcow2')
  const theirs = '/var/lib/libvirt/images/theirs.qcow2'
  const vm = { id: 'own', name: 'own', memory: 128, cpus: 1, node: 'hv1' }
  await done(horcrux, vms, 'create', { ...vm, disks: [{ pool: 'images', size: GiB }] })
  await virsh('attach-disk', 'own', theirs, 'vdb', '--subdriver', 'qcow2', '--config')
  const after = await change('own', 'attachDisk', { pool: 'images', size: GiB })
  expect(after.disks.map(({ id }) => id)).toEqual(['vda', 'vdc'])
  expect(await listed('own')).toContain(`vdb ${theirs}`)
  await until(async () => (await get('own')).foreign_disks.length === 1, { what: 'foreign disk' })
  expect((await get('own')).foreign_disks).toEqual([{ id: 'vdb', device: 'disk', type: 'file', source: theirs }])

  const overlay = `${poolPath}/overlay.qcow2`
  const xml = await virsh('dumpxml', 'own', '--inactive')
  await defineByHand('own', xml.replaceAll(`${poolPath}/own-disk-0.qcow2`, overlay))
  expect(await horcrux.call(vms, 'update', { id: 'own', memory: 256 })).toMatchObject({ memory: 256 })
  expect(await listed('own')).toContain(`vda ${overlay}`)
  const refused = new RegExp(`${overlay} instead of`)
  await expect(horcrux.call(devices, 'detachDisk', { id: 'own', disk: 'vda' })).rejects.toThrow(refused)
  await expect(horcrux.call(devices, 'resizeDisk', { id: 'own', disk: 'vda', size: 2 * GiB })).rejects.toThrow(refused)
  expect(await listed('own')).toContain(`vda ${overlay}`)
  await done(horcrux, vms, 'delete', { id: 'own', purge: true })
})

test('a running guest gets a disk beside one that virsh plugged in, and loses its own only', async () => {
  const { horcrux, virsh } = lab
  await image('live.qcow2')
  const live = '/var/lib/libvirt/images/live.qcow2'
  const disks = [{ pool: 'images', size: GiB }]
  await done(horcrux, vms, 'create', {
    id: 'on',
    name: 'on',
    memory: 128,
    cpus: 1,
    node: 'hv1',
    start: true,
    disks,
  })
  await virsh('attach-disk', 'on', live, 'vdb', '--subdriver', 'qcow2', '--live')
  const after = await change('on', 'attachDisk', { pool: 'images', size: GiB })
  expect(after.disks.map(({ id }) => id)).toEqual(['vda', 'vdc'])
  expect(after.pending).toEqual([])
  expect(await virsh('domblklist', 'on')).toContain(live)
  await expect(horcrux.call(vms, 'clone', { vm: 'on', name: 'copy', mode: 'full' })).rejects.toThrow(/vdb/)
  await done(horcrux, vms, 'stop', { id: 'on', force: true })
  await done(horcrux, vms, 'delete', { id: 'on', purge: true })
})

test('a seed gets a drive that the guest can start with: beside lsilogic, and beside a disk called sdy', async () => {
  const { horcrux, defineByHand } = lab
  await image('pool/first.qcow2')
  await image('pool/last.qcow2')
  const parts = [
    '<controller type="scsi" index="0" model="lsilogic"/>',
    disk(`${poolPath}/first.qcow2`, 'sda', 'scsi'),
    disk(`${poolPath}/last.qcow2`, 'sdy', 'sata'),
  ]
  await defineByHand('narrow', domain('narrow', ...parts))
  await adopt('narrow')
  const id = 'narrow'
  await done(horcrux, cloudinit, 'set', { id, user: { name: 'ada' } })
  expect(await listed(id)).toHaveLength(3)
  expect(((await done(horcrux, vms, 'start', { id })) as Vm).status).toBe('running')
  await done(horcrux, cloudinit, 'set', { id, user: { name: 'bob' } })
  await done(horcrux, vms, 'stop', { id, force: true })
  await done(horcrux, cloudinit, 'remove', { id })
  expect((await listed(id)).join()).not.toContain('.iso')
  expect(((await done(horcrux, vms, 'start', { id })) as Vm).status).toBe('running')
  await done(horcrux, vms, 'stop', { id, force: true })
  // The clone has drives of its own beside its disks.
  await done(horcrux, vms, 'clone', { vm: id, id: 'wide', name: 'wide', mode: 'full', network_config: {}, start: true })
  expect((await get('wide')).status).toBe('running')
  await done(horcrux, vms, 'stop', { id: 'wide', force: true })
  for (const each of [id, 'wide']) await done(horcrux, vms, 'delete', { id: each, purge: true })
})

test('a guest with an IDE disk is not cloned, and that is said before anything is copied', async () => {
  const { horcrux, defineByHand } = lab
  await image('pool/ide.qcow2')
  await defineByHand('older', domain('older', disk(`${poolPath}/ide.qcow2`, 'hda', 'ide')))
  await adopt('older')
  await expect(horcrux.call(vms, 'clone', { vm: 'older', name: 'copy', mode: 'full' })).rejects.toMatchObject({
    violations: [{ field: 'disks.0.bus' }],
  })
  await done(horcrux, vms, 'delete', { id: 'older', purge: true })
})
