import { afterAll, beforeAll, expect, test } from 'vitest'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { operations } from '#shared/contracts/core/operations.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { ConflictError, NotFoundError, ValidationError } from '#shared/errors.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import type { StepObserver } from '#shared/operation/observe.ts'
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
let horcrux: TestHorcrux
/** Set by a test that acts at a place of a step. */
let atPlace: StepObserver | undefined

const virsh = (...args: string[]) => localHost().runChecked('virsh', ['-c', host!.uri, ...args])
const create = (given: object) => ({ memory: 128, cpus: 1, node: 'hv1', disks: [], nics: [], ...given })
const get = (id: string) => horcrux.call(vms, 'get', { id })

beforeAll(async () => {
  const observe: StepObserver = (place) => atPlace?.(place)
  horcrux = await startHorcrux({ services: [clusterService, storageService, vmService], observe })
  await done(horcrux, nodes, 'register', asNode('hv1', host!))
  await horcrux.call(pools, 'create', { id: 'images', type: 'dir', node: 'hv1', path: '/var/lib/libvirt/images/pool' })
})
afterAll(() => horcrux.stop())

test('a node that is registered over SSH is reached for real: its facts are read, its libvirt answers', async () => {
  const node = await horcrux.call(nodes, 'get', { id: 'hv1' })
  expect(node).toMatchObject({
    kind: 'ssh',
    status: 'online',
    facts: { accel: 'tcg', libvirt_version: expect.stringMatching(/^\d+\.\d+/) },
  })
  expect(JSON.stringify(node)).not.toContain('PRIVATE KEY')
})

test('a virtual machine lives: created with a disk, started, paused, resumed, stopped, deleted', async () => {
  const vm = (await done(
    horcrux,
    vms,
    'create',
    create({ id: 'web', name: 'web', disks: [{ pool: 'images', size: GiB }] }),
  )) as Vm
  expect(vm).toMatchObject({
    id: 'web',
    status: 'stopped',
    accel: 'tcg',
    disks: [{ id: 'vda', size_bytes: GiB, format: 'qcow2' }],
  })
  for (const [action, status] of [
    ['start', 'running'],
    ['pause', 'paused'],
    ['resume', 'running'],
    ['stop', 'stopped'],
  ] as const) {
    const changed = (await done(horcrux, vms, action, { id: 'web' })) as Vm
    expect(changed.status).toBe(status)
  }
  await done(horcrux, vms, 'delete', { id: 'web', purge: true })
  await expect(get('web')).rejects.toBeInstanceOf(NotFoundError)
  expect((await virsh('list', '--all', '--name')).stdout.trim()).toBe('')
  expect((await horcrux.call(volumes, 'list', { id: 'images' })).total).toBe(0)
})

test('changes of a guest by virsh are shown', async () => {
  await done(horcrux, vms, 'create', create({ id: 'seen', name: 'seen' }))
  for (const [command, status] of [
    ['start', 'running'],
    ['suspend', 'paused'],
    ['destroy', 'stopped'],
  ] as const) {
    await virsh(command, 'seen')
    await until(async () => (await get('seen')).status === status)
  }
  await done(horcrux, vms, 'delete', { id: 'seen' })
})

test('the next update keeps an autostart that virsh has switched off', async () => {
  await done(horcrux, vms, 'create', create({ id: 'early', name: 'early', autostart: true }))
  await virsh('autostart', '--disable', 'early')
  await horcrux.call(vms, 'update', { id: 'early', memory: 256 })
  expect((await virsh('dominfo', 'early')).stdout).toMatch(/^Autostart: +disable$/m)
  expect((await get('early')).autostart).toBe(false)
  await done(horcrux, vms, 'delete', { id: 'early' })
})

test('a guest that virsh starts during its deletion or pause runs on, and the operation fails with the reason', async () => {
  await done(horcrux, vms, 'create', create({ id: 'kept', name: 'kept' }))
  atPlace = ({ kind, when }) => {
    if (kind !== 'vms.delete' || when !== 'before') return undefined
    atPlace = undefined
    return virsh('start', 'kept').then(() => undefined)
  }
  const ended = await work(horcrux, vms, 'delete', { id: 'kept' })
  expect(ended).toMatchObject({ state: 'failed', error: { message: expect.stringMatching(/'kept' is running/) } })
  expect((await virsh('domstate', 'kept')).stdout.trim()).toBe('running')
  atPlace = ({ kind, when }) => {
    if (kind !== 'vms.pause' || when !== 'after') return undefined
    atPlace = undefined
    return virsh('resume', 'kept')
      .then(() => until(async () => (await get('kept')).status === 'running', { what: 'the news' }))
      .then(() => undefined)
  }
  const paused = await work(horcrux, vms, 'pause', { id: 'kept' })
  expect(paused).toMatchObject({ state: 'failed', error: { message: expect.stringMatching(/but is running/) } })
  await done(horcrux, vms, 'stop', { id: 'kept' })
  await done(horcrux, vms, 'delete', { id: 'kept' })
})

test('fifty creations of the same id have one winner', async () => {
  const given = create({ id: 'one', name: 'one' })
  const tries = await Promise.allSettled(Array.from({ length: 50 }, () => work(horcrux, vms, 'create', given)))
  const lost = tries.filter((result) => result.status === 'rejected').map(({ reason }) => reason as Error)
  expect(lost).toHaveLength(49)
  for (const error of lost) expect(error).toBeInstanceOf(ConflictError)
  expect((await get('one')).status).toBe('stopped')
  await done(horcrux, vms, 'delete', { id: 'one' })
})

test('all mistakes in a VM are reported in one answer', async () => {
  const wrong = create({
    name: 'wrong',
    disks: [{ pool: 'nowhere', size: GiB }],
    nics: [{}, { network: 'no-such-network' }, { bridge: 'no-such' }],
    boot: { kernel: '/etc/shadow' },
    cpus: 4,
    topology: { sockets: 1, cores: 2, threads: 1 },
    balloon: 256,
    boot_order: ['vdq'],
    cpu_model: 'no-such-model',
  })
  const error = await horcrux.call(vms, 'create', wrong).then(
    () => undefined,
    (reason: unknown) => reason as ValidationError,
  )
  expect(error).toBeInstanceOf(ValidationError)
  expect(error?.violations.map(({ field }) => field).toSorted()).toEqual([
    'balloon',
    'boot.kernel',
    'boot_order.0',
    'cpu_model',
    'disks.0.pool',
    'nics.0',
    'nics.1.network',
    'nics.2.bridge',
    'topology',
  ])
})

test('a creation that fails at its last step leaves nothing behind', async () => {
  const given = create({
    id: 'gone',
    name: 'gone',
    start: true,
    disks: [{ pool: 'images', size: GiB }],
    // More than any machine has: QEMU cannot start.
    memory: 1_048_576,
  })
  const ended = await work(horcrux, vms, 'create', given)
  expect(ended).toMatchObject({ state: 'failed', error: { message: expect.stringMatching(/allocate memory/) } })
  expect(ended.steps.map(({ name, state }) => [name, state])).toEqual([
    ['allocating disk vda', 'undone'],
    ['defining domain', 'undone'],
    ['registering', 'undone'],
    ['starting domain', 'undone'],
  ])
  await expect(get('gone')).rejects.toBeInstanceOf(NotFoundError)
  expect((await virsh('list', '--all', '--name')).stdout.trim()).toBe('')
  expect((await horcrux.call(volumes, 'list', { id: 'images' })).total).toBe(0)
})

test("a second operation on a locked VM is told the lock's holder, reason and begin", async () => {
  await done(horcrux, vms, 'create', create({ id: 'busy', name: 'busy' }))
  await done(horcrux, vms, 'start', { id: 'busy' })
  const shutdown = await horcrux.call(vms, 'shutdown', { id: 'busy', timeout: 3600 })
  const second = await horcrux.call(vms, 'pause', { id: 'busy' }).catch((reason: unknown) => reason as ConflictError)
  expect(second).toBeInstanceOf(ConflictError)
  expect((second as ConflictError).details).toMatchObject({ reason: 'vms.shutdown', user: 'service:test' })
  const { id } = shutdown as unknown as { id: string }
  await horcrux.call(operations, 'cancel', { id })
  expect((await horcrux.call(operations, 'wait', { id, timeout: 60 }, { timeoutMs: 65_000 })).state).toBe('cancelled')
  await done(horcrux, vms, 'stop', { id: 'busy', force: true })
  await done(horcrux, vms, 'delete', { id: 'busy' })
})
