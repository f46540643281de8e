import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { pools } from '#shared/contracts/storage/pools.ts'
import { resourcePools } from '#shared/contracts/access/resource-pools.ts'
import { guests } from '#shared/contracts/vm/guests.ts'
import { devices } from '#shared/contracts/vm/devices.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { guestPrefix } from '../../../tools/tiny-guest/tiny-guest.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { consoles } from '#shared/contracts/vm/consoles.ts'
import { guestOn } from '../../lab/guests/tiny-guest.ts'
import { poolPath, startGuests } from '../../lab/guests/guests.ts'
import { folderOf } from '../../lab/storage/folder-of.ts'
import { until } from '../../lab/wait.ts'
import { v7 } from 'uuid'
import { done, work } from '../../lab/product/run-operation.ts'
import { labHosts } from '../../lab/hosts/lab.ts'

const GiB = 2 ** 30
const [host] = labHosts
const id = 'plugged'
let lab: Awaited<ReturnType<typeof startGuests>>
let boot: object

const serial = async () => (await lab.horcrux.call(vms, 'serial', { id })).text
/** Waits until the guest has said something about its devices. */
const says = (what: string) => until(async () => (await serial()).includes(`${guestPrefix} ${what}`), { what })
/** Has the guest's shell say something, and waits until it has. */
async function types(line: string, answer: string): Promise<void> {
  await lab.horcrux.call(consoles, 'write', { id, text: `${line}\n` })
  const hasAnswered = async () => (await serial()).split(/\r?\n/).includes(answer)
  await until(hasAnswered, { what: answer }).catch(async () => expect((await serial()).slice(-2000)).toContain(answer))
}
const change = async (action: keyof typeof devices.actions, params: object) =>
  (await done(lab.horcrux, devices, action, { id, ...params })) as Vm
const volume = (name: string) => lab.horcrux.call(volumes, 'get', { id: 'images', volume: name })
/** What libvirt's definition and the running guest have: `vda vdb`. */
const targets = async (...words: string[]) =>
  (await lab.virsh('domblklist', id, ...words))
    .split('\n')
    .map((line) => line.trim().split(/\s+/)[0])
    .filter((target) => target?.startsWith('v'))

beforeAll(async () => {
  lab = await startGuests(host!)
  boot = await guestOn(host!)
  await mkdir(join(host!.dir, 'isos'), { recursive: true })
  await localHost().runChecked('ip', ['-n', host!.netns, 'link', 'add', 'br8', 'type', 'bridge'])
  await lab.horcrux.call(resourcePools, 'create', { id: 'crew', name: 'crew', limits: { disk: 5 * GiB } })
  const disks = [{ pool: 'images', size: GiB }]
  const vm = { id, name: id, memory: 256, cpus: 1, node: 'hv1', boot, disks, resource_pool: 'crew', start: true }
  await done(lab.horcrux, vms, 'create', vm)
  await says('up')
})
afterAll(async () => {
  await lab?.horcrux.stop()
  await localHost().run('ip', ['-n', host!.netns, 'link', 'del', 'br8'])
})

test('all mistakes in a disk are reported in one answer, and nothing is left of it', async () => {
  const refused = (params: object) => lab.horcrux.call(devices, 'attachDisk', { id, ...params })
  await expect(refused({ pool: 'images' })).rejects.toMatchObject({ violations: [{ field: 'size' }] })
  await expect(
    refused({ pool: 'images', volume: 'x', size: GiB, format: 'raw', readonly: true }),
  ).rejects.toMatchObject({ violations: [{ field: 'size' }, { field: 'format' }, { field: 'readonly' }] })
  await expect(refused({ pool: 'nowhere', size: GiB })).rejects.toMatchObject({ violations: [{ field: 'pool' }] })
  await expect(refused({ pool: 'images', volume: 'ghost' })).rejects.toMatchObject({
    violations: [{ field: 'volume' }],
  })
  await expect(refused({ pool: 'images', size: 5 * GiB })).rejects.toThrow(/disk/)
  await expect(lab.horcrux.call(devices, 'detachDisk', { id, disk: 'vdq' })).rejects.toThrow('not found')
  await expect(lab.horcrux.call(devices, 'attachNic', { id, bridge: 'br99' })).rejects.toMatchObject({
    violations: [{ field: 'bridge' }],
  })
  await expect(lab.horcrux.call(devices, 'attachNic', { id })).rejects.toMatchObject({ violations: [{ field: 'id' }] })
  expect((await lab.horcrux.call(vms, 'get', { id })).disks).toHaveLength(1)
  expect((await lab.horcrux.call(volumes, 'list', { id: 'images' })).total).toBe(1)
})

test('a running guest gets a disk, sees it grow, and lets go of it', async () => {
  const vm = await change('attachDisk', { pool: 'images', size: GiB })
  expect(vm).toMatchObject({ disks: [{ id: 'vda' }, { id: 'vdb', volume: 'plugged-disk-1' }], pending: [] })
  await says(`disk vdb ${GiB}`)
  expect(await targets()).toEqual(['vda', 'vdb'])
  expect(await targets('--inactive')).toEqual(['vda', 'vdb'])
  expect((await lab.horcrux.call(resourcePools, 'get', { id: 'crew' })).used.disk).toBe(2 * GiB)

  const grown = await change('resizeDisk', { disk: 'vdb', size: 3 * GiB })
  expect(grown.disks[1]!.size_bytes).toBe(3 * GiB)
  expect(await volume('plugged-disk-1')).toMatchObject({ size_bytes: 3 * GiB, used_by: '/api/vms/plugged' })
  await types('echo bytes $(($(cat /sys/block/vdb/size) * 512))', `bytes ${3 * GiB}`)
  expect((await lab.horcrux.call(resourcePools, 'get', { id: 'crew' })).used.disk).toBe(4 * GiB)
  await expect(lab.horcrux.call(devices, 'resizeDisk', { id, disk: 'vdb', size: 2 * GiB })).rejects.toThrow('cut off')
  await expect(lab.horcrux.call(devices, 'resizeDisk', { id, disk: 'vdb', size: 5 * GiB })).rejects.toThrow(/disk/)

  const without = await change('detachDisk', { disk: 'vdb' })
  expect(without).toMatchObject({ disks: [{ id: 'vda' }], pending: [] })
  await says('disk vdb gone')
  expect(await targets()).toEqual(['vda'])
  expect(await targets('--inactive')).toEqual(['vda'])
  expect(await volume('plugged-disk-1')).toMatchObject({ used_by: null, size_bytes: 3 * GiB })
  expect((await lab.horcrux.call(resourcePools, 'get', { id: 'crew' })).used.disk).toBe(GiB)
})

test('a volume that is there is attached, and deleted with purge', async () => {
  await change('attachDisk', { pool: 'images', volume: 'plugged-disk-1', readonly: true })
  await says(`disk vdb ${3 * GiB}`)
  await expect(lab.horcrux.call(devices, 'resizeDisk', { id, disk: 'vdb', size: 4 * GiB })).rejects.toThrow('read-only')
  await change('detachDisk', { disk: 'vdb', purge: true })
  await expect(volume('plugged-disk-1')).rejects.toThrow('not found')
  expect(await localHost().stat(join(host!.dir, 'pool/plugged-disk-1.qcow2'))).toBe(null)
})

test('a SCSI disk comes with its controller; one of SATA cannot be plugged in and waits for the next start', async () => {
  const scsi = await change('attachDisk', { pool: 'images', size: GiB, bus: 'scsi' })
  expect(scsi).toMatchObject({ pending: [], disks: [{ id: 'vda' }, { id: 'sda', bus: 'scsi' }] })
  expect(await lab.virsh('dumpxml', id)).toMatch(/model='virtio-scsi'/)
  const vm = await change('attachDisk', { pool: 'images', size: GiB, bus: 'sata' })
  expect(vm.pending_restart).toBe(true)
  expect(vm.pending).toMatchObject([{ field: 'disks', current: [{ id: 'vda' }, { id: 'sda' }], next: vm.disks }])
  // No guest writes it yet: it is the storage that grows it.
  const wider = await change('resizeDisk', { disk: 'sdb', size: 2 * GiB })
  const size_bytes = 2 * GiB
  expect(wider.disks[2]).toMatchObject({ id: 'sdb', size_bytes })
  expect(wider.pending).toMatchObject([{ current: [{ id: 'vda' }, { id: 'sda' }], next: wider.disks }])
  expect(await volume(vm.disks[2]!.volume!)).toMatchObject({ size_bytes })
  const back = await change('detachDisk', { disk: 'sdb', purge: true })
  expect(back).toMatchObject({ pending: [], pending_restart: false, disks: [{ id: 'vda' }, { id: 'sda' }] })
})

test('a running guest gets a NIC on a bridge and lets go of it', async () => {
  const mac = '52:54:00:00:00:81'
  const vm = await change('attachNic', { bridge: 'br8', mac })
  expect(vm).toMatchObject({ nics: [{ mac, bridge: 'br8', model: 'virtio' }], pending: [] })
  await says(`nic eth0 ${mac}`)
  expect(await lab.virsh('domiflist', id)).toContain('br8')
  expect(await lab.virsh('domiflist', id, '--inactive')).toContain('br8')
  await expect(lab.horcrux.call(devices, 'attachNic', { id, bridge: 'br8', mac })).rejects.toMatchObject({
    violations: [{ field: 'mac' }],
  })
  expect((await change('detachNic', { nic: mac })).nics).toEqual([])
  await says('nic eth0 gone')
  expect(await lab.virsh('domiflist', id)).not.toContain(mac)
  expect(await lab.virsh('domiflist', id, '--inactive')).not.toContain(mac)
})

test('a running guest has room for eight devices more', async () => {
  for (let count = 1; count <= 8; count++) {
    const vm = await change('attachNic', { bridge: 'br8' })
    expect(vm.pending, `after ${count}`).toEqual([])
  }
  const { nics } = await lab.horcrux.call(vms, 'get', { id })
  for (const { mac } of nics) {
    await says(`nic eth${nics.findIndex((nic) => nic.mac === mac)} ${mac}`)
    await change('detachNic', { nic: mac })
  }
})

/** The media that QEMU has in the drives of the running guest. */
const media = async () => {
  const { result } = await lab.horcrux.call(guests, 'monitor', { id, execute: 'query-block' })
  // What QMP says of block devices.
  return (result as { removable: boolean; inserted?: { image: { filename: string } } }[])
    .filter(({ removable }) => removable)
    .map(({ inserted }) => inserted?.image.filename ?? null)
}

test('an ISO is put into the drive of a running guest, and taken out', async () => {
  const iso = '/var/lib/libvirt/images/isos/tools.iso'
  await localHost().runChecked('genisoimage', [
    '-quiet',
    '-V',
    'TOOLS',
    '-o',
    join(host!.dir, 'isos/tools.iso'),
    join(host!.dir, 'guest'),
  ])
  const insert = (path: string) => lab.horcrux.call(devices, 'insert', { id, path })
  await expect(insert('/etc/passwd')).rejects.toThrow()
  expect(await insert(iso)).toMatchObject({ iso, pending: [] })
  expect(await media()).toEqual([iso])
  expect(await lab.virsh('domblklist', id, '--inactive')).toContain(iso)
  expect(await lab.horcrux.call(devices, 'eject', { id })).toMatchObject({ iso: null, pending: [] })
  expect(await media()).toEqual([null])
  expect(await lab.virsh('domblklist', id, '--inactive')).not.toContain(iso)
})

test('a guest that does not let go keeps its device: the operation says so, and nothing has changed', async () => {
  const unhearing = {
    id: 'unhearing',
    name: 'unhearing',
    memory: 128,
    cpus: 1,
    node: 'hv1',
    disks: [{ pool: 'images', size: GiB }],
  }
  // Without an operating system nobody hears that a device is wanted back.
  await done(lab.horcrux, vms, 'create', { ...unhearing, start: true })
  const ended = await work(lab.horcrux, devices, 'detachDisk', {
    id: 'unhearing',
    disk: 'vda',
    purge: true,
    timeout: 2,
  })
  expect(ended).toMatchObject({ state: 'failed', error: { message: expect.stringContaining('has not let go of vda') } })
  const vm = await lab.horcrux.call(vms, 'get', { id: 'unhearing' })
  expect(vm).toMatchObject({ disks: [{ id: 'vda' }], pending: [], status: 'running' })
  expect(await lab.virsh('domblklist', 'unhearing')).toContain('vda')
  expect(await lab.virsh('domblklist', 'unhearing', '--inactive')).toContain('vda')
  expect(await volume('unhearing-disk-0')).toMatchObject({ used_by: '/api/vms/unhearing' })
  // QEMU takes the disk away when the guest begins anew: the record says that it runs without.
  await done(lab.horcrux, vms, 'reset', { id: 'unhearing' })
  const seen = async () => (await lab.horcrux.call(vms, 'get', { id: 'unhearing' })).pending
  await until(async () => (await seen()).length > 0, { what: 'the lost disk to be recorded' })
  expect(await seen()).toMatchObject([{ field: 'disks', current: [], next: [{ id: 'vda' }] }])
  expect(await lab.virsh('domblklist', 'unhearing')).not.toContain('vda')
  await done(lab.horcrux, vms, 'stop', { id: 'unhearing', force: true })
  const off = (await done(lab.horcrux, devices, 'detachDisk', { id: 'unhearing', disk: 'vda', purge: true })) as Vm
  expect(off.disks).toEqual([])
  await done(lab.horcrux, vms, 'delete', { id: 'unhearing' })
})

test('an old request for a place does not delete the disk that is there now; one for a disk by its id finds just that', async () => {
  const { horcrux } = lab
  await done(horcrux, vms, 'create', { id: 'placed', name: 'placed', memory: 128, cpus: 1, node: 'hv1' })
  const attach = async () =>
    ((await done(horcrux, devices, 'attachDisk', { id: 'placed', pool: 'images', size: GiB })) as Vm).disks[0]!
  const detach = (disk: string) => done(horcrux, devices, 'detachDisk', { id: 'placed', disk, purge: true })
  const first = await attach()
  await detach(first.device_id)
  const now = await attach()
  expect([now.id, now.device_id === first.device_id]).toEqual([first.id, false])
  const old = { call: v7({ msecs: Date.now() - 10_000 }), number: 1, sentAt: Date.now(), deadline: Date.now() + 4000 }
  const asked = { id: 'placed', disk: 'vda', purge: true }
  await expect(horcrux.call(devices, 'detachDisk', asked, { meta: { try: old } })).rejects.toThrow('means another one')
  await expect(horcrux.call(devices, 'detachDisk', { ...asked, disk: first.device_id })).rejects.toThrow('not found')
  expect(await volume('placed-disk-0')).toMatchObject({ used_by: '/api/vms/placed' })
  await done(horcrux, devices, 'resizeDisk', { id: 'placed', disk: now.device_id, size: 2 * GiB })
  expect(((await detach('vda')) as Vm).disks).toEqual([])
  await done(horcrux, vms, 'delete', { id: 'placed' })
})

test('a machine that is off has its disk grown by the storage', async () => {
  await done(lab.horcrux, vms, 'stop', { id, force: true })
  await change('resizeDisk', { disk: 'vda', size: 2 * GiB })
  expect(await volume('plugged-disk-0')).toMatchObject({ size_bytes: 2 * GiB })
  const { stdout } = await localHost().runChecked('qemu-img', [
    'info',
    '--output=json',
    join(host!.dir, 'pool/plugged-disk-0.qcow2'),
  ])
  expect(JSON.parse(stdout)).toMatchObject({ 'virtual-size': 2 * GiB })
  await lab.horcrux.call(vms, 'update', { id, boot_order: ['sda', 'vda'] })
  expect(await change('detachDisk', { disk: 'sda', purge: true })).toMatchObject({ boot_order: ['vda'] })
  await done(lab.horcrux, vms, 'start', { id })
  await says(`disk vda ${2 * GiB}`)
  await done(lab.horcrux, vms, 'stop', { id, force: true })
  await done(lab.horcrux, vms, 'delete', { id, purge: true })
  expect(folderOf(await lab.horcrux.call(pools, 'get', { id: 'images' }))).toBe(poolPath)
  expect((await lab.horcrux.call(volumes, 'list', { id: 'images' })).total).toBe(0)
})
