import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { nodes } from '#shared/contracts/nodes.ts'
import { type Operation, operations } from '#shared/contracts/operations.ts'
import { pools } from '#shared/contracts/pools.ts'
import { vms } from '#shared/contracts/vms.ts'
import { volumes } from '#shared/contracts/volumes.ts'
import { ConflictError, NotFoundError, ValidationError } from '#shared/errors.ts'
import { clusterService } from '../../services/cluster/service.ts'
import { storageService } from '../../services/storage/service.ts'
import { vmService } from '../../services/vm/service.ts'
import { imagesOf } from '../lab/disks.ts'
import { startHorcrux, type TestHorcrux } from '../lab/horcrux.ts'
import { asNode } from '../lab/scenarios.ts'
import { done, work } from '../lab/work.ts'

const GiB = 2 ** 30
const [host] = inject('lab').hosts
const images = imagesOf(host!)
let horcrux: TestHorcrux

/** A file that Horcrux knows nothing of, in the place of a volume. */
const foreign = async (name: string, size: number) => {
  await images.host.runChecked('qemu-img', ['create', '-q', '-f', 'qcow2', images.pathOf(name), String(size)])
  await images.write(name, 7, 0, 1)
  return images.checksum(name)
}
const get = (volume: string) => horcrux.call(volumes, 'get', { id: 'images', volume })

beforeAll(async () => {
  horcrux = await startHorcrux({ services: [clusterService, storageService, vmService], works: false })
  const stop = horcrux.work()
  await done(horcrux, nodes, 'register', asNode('hv1', host!))
  await horcrux.call(pools, 'create', { id: 'images', type: 'dir', node: 'hv1', path: '/var/lib/libvirt/images/pool' })
  await stop()
})
afterAll(() => horcrux.stop())

test.each([GiB, 2 * GiB])(
  'a file in the place of a new volume is neither taken nor deleted, of %i bytes',
  async (size) => {
    const before = await foreign('theirs.qcow2', size)
    const given = { id: 'images', name: 'theirs', size: GiB }
    await expect(horcrux.call(volumes, 'create', given)).rejects.toThrow(/is there already, and belongs to no volume/)
    // As for the disk of a new machine, which is made later than it is asked for.
    const owned = { ...given, format: 'qcow2', owner: '/api/vms/it' }
    await expect(horcrux.call(volumes, 'createFor', owned)).rejects.toBeInstanceOf(ConflictError)
    await horcrux.call(volumes, 'deleteFor', { id: 'images', volume: 'theirs', owner: '/api/vms/it' })
    await expect(get('theirs')).rejects.toBeInstanceOf(NotFoundError)
    expect(await images.checksum('theirs.qcow2')).toBe(before)
    await images.host.remove(images.pathOf('theirs.qcow2'))
  },
)

test('a file that comes into the place of a volume while it waits to be made is not touched', async () => {
  const { id } = (await horcrux.call(volumes, 'create', {
    id: 'images',
    name: 'late',
    size: GiB,
  })) as unknown as Operation
  const before = await foreign('late.qcow2', 2 * GiB)
  const stop = horcrux.work()
  const ended = await horcrux.call(operations, 'wait', { id, timeout: 30 }, { timeoutMs: 35_000 })
  await stop()
  expect(ended).toMatchObject({ state: 'failed', error: { message: expect.stringMatching(/belongs to no volume/) } })
  expect(await images.checksum('late.qcow2')).toBe(before)
  await expect(get('late')).rejects.toBeInstanceOf(NotFoundError)
  await images.host.remove(images.pathOf('late.qcow2'))
})

test.each(['delete', 'resize'] as const)(
  'a volume that a machine takes before the %s of it begins stays',
  async (action) => {
    const name = `taken-${action}`
    const stopFirst = horcrux.work()
    await done(horcrux, volumes, 'create', { id: 'images', name, size: GiB })
    await stopFirst()
    const words = { id: 'images', volume: name, ...(action === 'resize' && { size: 2 * GiB }) }
    const { id } = (await horcrux.call(volumes, action, words)) as unknown as Operation
    const owner = '/api/vms/quick'
    await horcrux.call(volumes, 'attach', { id: 'images', volume: name, owner })
    const stop = horcrux.work()
    const ended = await horcrux.call(operations, 'wait', { id, timeout: 30 }, { timeoutMs: 35_000 })
    await stop()
    expect(ended).toMatchObject({ state: 'failed', error: { message: expect.stringContaining(owner) } })
    expect(await get(name)).toMatchObject({ used_by: owner, size_bytes: GiB })
    expect((await images.info(`${name}.qcow2`))['virtual-size']).toBe(GiB)
    await horcrux.call(volumes, 'deleteFor', { id: 'images', volume: name, owner })
  },
)

test('a pool that is not there, or not active, is told at once', async () => {
  await expect(horcrux.call(volumes, 'list', { id: 'nope' })).rejects.toBeInstanceOf(NotFoundError)
  const given = { name: 'new', size: GiB }
  await expect(horcrux.call(volumes, 'create', { ...given, id: 'nope' })).rejects.toBeInstanceOf(NotFoundError)
  await horcrux.call(pools, 'deactivate', { id: 'images' })
  await expect(horcrux.call(volumes, 'create', { ...given, id: 'images' })).rejects.toBeInstanceOf(ConflictError)
  await horcrux.call(pools, 'activate', { id: 'images' })
})

test('a machine is not given disks in the places of its ISO and its seed', async () => {
  const disks = Array.from({ length: 26 }, () => ({ pool: 'images', size: GiB, bus: 'scsi' }))
  const given = { id: 'many', name: 'many', memory: 128, cpus: 1, node: 'hv1', disks, nics: [] }
  const error = await horcrux.call(vms, 'create', given).catch((reason: unknown) => reason as ValidationError)
  expect(error).toBeInstanceOf(ValidationError)
  expect((error as ValidationError).violations.map(({ field, code }) => `${field} ${code}`)).toEqual([
    'disks.23.bus full',
    'disks.24.bus full',
    'disks.25.bus full',
  ])
})

test('a machine does not take a volume of the name that its disk would have, and leaves it as it is', async () => {
  const stop = horcrux.work()
  await done(horcrux, volumes, 'create', { id: 'images', name: 'mine-disk-0', size: GiB })
  const given = { id: 'mine', name: 'mine', memory: 128, cpus: 1, node: 'hv1', disks: [{ pool: 'images', size: GiB }] }
  expect(await work(horcrux, vms, 'create', { ...given, nics: [] })).toMatchObject({ state: 'failed' })
  expect(await get('mine-disk-0')).toMatchObject({ used_by: null })
  await done(horcrux, volumes, 'delete', { id: 'images', volume: 'mine-disk-0' })
  await stop()
})
