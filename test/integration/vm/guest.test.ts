import { basename, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { operations } from '#shared/contracts/core/operations.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { buildTinyGuest, guestPrefix } from '../../../tools/tiny-guest/tiny-guest.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { clusterService } from '../../../services/cluster/service.ts'
import { storageService } from '../../../services/storage/service.ts'
import { vmService } from '../../../services/vm/service.ts'
import { startHorcrux, type TestHorcrux } from '../../lab/product/horcrux.ts'
import { asNode } from '../../lab/faults/scenarios.ts'
import { until } from '../../lab/wait.ts'
import { done, work } from '../../lab/product/run-operation.ts'
import { labHosts } from '../../lab/hosts/lab.ts'

const GiB = 2 ** 30
const [host] = labHosts
const seen = '/var/lib/libvirt/images'
let horcrux: TestHorcrux
let boot: { kernel: string; initrd: string; cmdline: string }

const create = (given: object) => ({ memory: 256, cpus: 1, node: 'hv1', ...given })
const serial = async (id: string) => (await horcrux.call(vms, 'serial', { id })).text
const up = (id: string) => until(async () => (await serial(id)).includes(`${guestPrefix} up`), { what: 'the guest' })

beforeAll(async () => {
  horcrux = await startHorcrux({ services: [clusterService, storageService, vmService] })
  await done(horcrux, nodes, 'register', asNode('hv1', host!))
  const built = await buildTinyGuest(localHost(), join(host!.dir, 'guest'))
  const asSeen = (path: string) => join(seen, 'guest', basename(path))
  boot = { ...built, kernel: asSeen(built.kernel), initrd: asSeen(built.initrd) }
  await horcrux.call(pools, 'create', { id: 'disks', type: 'dir', node: 'hv1', path: `${seen}/disks` })
})
afterAll(() => horcrux?.stop())

test('a guest boots from kernel and initrd, sees its disks, tells on the serial console, and shuts down when asked', async () => {
  const disks = [
    { pool: 'disks', size: GiB },
    { pool: 'disks', size: 2 * GiB, format: 'raw' },
  ]
  await done(horcrux, vms, 'create', create({ id: 'tiny', name: 'tiny', boot, disks, start: true }))
  await up('tiny')
  const told = await serial('tiny')
  expect(told).toContain(`${guestPrefix} disk vda ${GiB}`)
  expect(told).toContain(`${guestPrefix} disk vdb ${2 * GiB}`)
  const stats = await horcrux.call(vms, 'stats', { id: 'tiny' })
  expect(stats.cpu_time_ns).toBeGreaterThan(0)
  expect(stats.disks.map(({ id, capacity_bytes }) => [id, capacity_bytes])).toEqual([
    ['vda', GiB],
    ['vdb', 2 * GiB],
  ])

  const before = stats.cpu_time_ns!
  expect(((await done(horcrux, vms, 'restart', { id: 'tiny', timeout: 30 })) as Vm).status).toBe('running')
  await up('tiny')
  expect((await horcrux.call(vms, 'stats', { id: 'tiny' })).cpu_time_ns).not.toBe(before)

  expect(((await done(horcrux, vms, 'shutdown', { id: 'tiny', timeout: 30 })) as Vm).status).toBe('stopped')
  await done(horcrux, vms, 'delete', { id: 'tiny', purge: true })
})

test('the shutdown of a guest that ignores its power button fails with advice, and the guest runs on', async () => {
  await done(horcrux, vms, 'create', create({ id: 'deaf', name: 'deaf', start: true }))
  const ended = await work(horcrux, vms, 'shutdown', { id: 'deaf', timeout: 1 })
  expect(ended).toMatchObject({ state: 'failed', error: { message: expect.stringContaining('/api/vms/deaf/stop') } })
  expect((await horcrux.call(vms, 'get', { id: 'deaf' })).status).toBe('running')
  await done(horcrux, vms, 'stop', { id: 'deaf', timeout: 1 })
  await done(horcrux, vms, 'delete', { id: 'deaf' })
})

test('a change of hardware waits for the next start of a guest that runs, and is there then', async () => {
  await done(horcrux, vms, 'create', create({ id: 'grow', name: 'grow', start: true }))
  const changed = await horcrux.call(vms, 'update', { id: 'grow', memory: 384, cpus: 2, tags: ['big'] })
  expect(changed).toMatchObject({ memory: 384, pending_restart: true, tags: ['big'], status: 'running' })
  expect((await horcrux.call(vms, 'stats', { id: 'grow' })).memory_mib).toBe(256)
  await done(horcrux, vms, 'stop', { id: 'grow', force: true })
  expect((await horcrux.call(vms, 'get', { id: 'grow' })).pending_restart).toBe(false)
  await horcrux.call(vms, 'update', { id: 'grow', name: 'grown' })
  await done(horcrux, vms, 'start', { id: 'grow' })
  expect((await horcrux.call(vms, 'stats', { id: 'grow' })).memory_mib).toBe(384)
  const { stdout } = await localHost().runChecked('virsh', ['-c', host!.uri, 'list', '--name'])
  expect(stdout.trim()).toBe('grown')
  await done(horcrux, vms, 'stop', { id: 'grow' })
  await done(horcrux, vms, 'delete', { id: 'grow' })
})

test('UEFI firmware, an ISO, and disks on each bus start', async () => {
  const disks = ['virtio', 'scsi', 'sata'].map((bus) => ({ pool: 'disks', size: GiB, bus }))
  await localHost().runChecked('genisoimage', ['-quiet', '-o', join(host!.dir, 'empty.iso'), join(host!.dir, 'guest')])
  const given = create({ id: 'full', name: 'full', firmware: 'uefi', iso: `${seen}/empty.iso`, disks, start: true })
  const vm = (await done(horcrux, vms, 'create', given)) as Vm
  expect(vm).toMatchObject({ status: 'running', disks: [{ id: 'vda' }, { id: 'sda' }, { id: 'sdb' }] })
  await done(horcrux, vms, 'stop', { id: 'full' })
  await done(horcrux, vms, 'delete', { id: 'full', purge: true })
})

test('a protected machine is not deleted, a machine that runs neither', async () => {
  await done(horcrux, vms, 'create', create({ id: 'kept', name: 'kept', protected: true, start: true }))
  await expect(horcrux.call(vms, 'delete', { id: 'kept' })).rejects.toThrow('protected')
  await horcrux.call(vms, 'update', { id: 'kept', protected: false })
  await expect(horcrux.call(vms, 'delete', { id: 'kept' })).rejects.toThrow('running')
  await done(horcrux, vms, 'stop', { id: 'kept' })
  await done(horcrux, vms, 'delete', { id: 'kept' })
  expect((await horcrux.call(operations, 'list', { filter: 'resource:/api/vms/kept', limit: 50 })).total).toBe(3)
})
