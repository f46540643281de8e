import { afterAll, beforeAll, expect, test } from 'vitest'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { type Operation, operations } from '#shared/contracts/core/operations.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { resourcePools } from '#shared/contracts/access/resource-pools.ts'
import { devices } from '#shared/contracts/vm/devices.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { ConflictError, NotFoundError, PreconditionFailedError, ValidationError } from '#shared/errors.ts'
import { clusterService } from '../../../services/cluster/service.ts'
import { storageService } from '../../../services/storage/service.ts'
import { vmService } from '../../../services/vm/service.ts'
import { imagesOf } from '../../lab/guests/disks.ts'
import { startHorcrux, type TestHorcrux } from '../../lab/product/horcrux.ts'
import { asNode } from '../../lab/faults/scenarios.ts'
import { until } from '../../lab/wait.ts'
import { done, work } from '../../lab/product/run-operation.ts'
import { labHosts } from '../../lab/hosts/lab.ts'

const GiB = 2 ** 30
const [host] = labHosts
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
    await expect(horcrux.call(volumesInternal, 'createFor', owned)).rejects.toBeInstanceOf(ConflictError)
    await horcrux.call(volumesInternal, 'deleteFor', { id: 'images', volume: 'theirs', owner: '/api/vms/it' })
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
  const ended = await horcrux.call(operations, 'wait', { id, timeout: 60 }, { timeoutMs: 65_000 })
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
    await horcrux.call(volumesInternal, 'attach', { id: 'images', volume: name, owner })
    const stop = horcrux.work()
    const ended = await horcrux.call(operations, 'wait', { id, timeout: 60 }, { timeoutMs: 65_000 })
    await stop()
    expect(ended).toMatchObject({ state: 'failed', error: { message: expect.stringContaining(owner) } })
    expect(await get(name)).toMatchObject({ used_by: owner, size_bytes: GiB })
    expect((await images.info(`${name}.qcow2`))['virtual-size']).toBe(GiB)
    await horcrux.call(volumesInternal, 'deleteFor', { id: 'images', volume: name, owner })
  },
)

test('a volume is changed at the version that If-Match names', async () => {
  const stop = horcrux.work()
  await done(horcrux, volumes, 'create', { id: 'images', name: 'versioned', size: GiB })
  const { version } = await get('versioned')
  const which = { id: 'images', volume: 'versioned' }
  const wanted = { ...which, size: 2 * GiB }
  const stale = { meta: { ifMatch: version + 1 } }
  await expect(horcrux.call(volumes, 'resize', wanted, stale)).rejects.toBeInstanceOf(PreconditionFailedError)
  await expect(horcrux.call(volumes, 'delete', which, stale)).rejects.toBeInstanceOf(PreconditionFailedError)
  const { id } = await horcrux.call(volumes, 'resize', wanted, { meta: { ifMatch: version } })
  await horcrux.call(operations, 'wait', { id, timeout: 60 }, { timeoutMs: 65_000 })
  expect((await get('versioned')).size_bytes).toBe(2 * GiB)
  await done(horcrux, volumes, 'delete', which)
  await stop()
})

test('a missing or inactive storage pool is refused at once', async () => {
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

/** A file in an allowed folder of the node, outside its pools. */
const at = (name: string) => `/var/lib/libvirt/images/${name}`
const machine = (id: string, disks: object[]) => ({ id, name: id, memory: 128, cpus: 1, node: 'hv1', disks, nics: [] })
const violationsOf = async (asked: Promise<unknown>) => {
  const error = await asked.catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(ValidationError)
  return (error as ValidationError).violations.map(({ field, message }) => `${field} ${message}`)
}
const qemuImg = (...words: string[]) => images.host.runChecked('qemu-img', words)

/** A raw file of so many MiB of one byte, made an image of this format. */
async function imageOf(format: string, byte: number, MiB: number): Promise<string> {
  const [raw, image] = [at('source.img'), at(`source-${byte}.${format}`)]
  await images.host.writeFile(raw, Buffer.alloc(MiB * 2 ** 20, byte))
  await qemuImg('convert', '-f', 'raw', '-O', format, raw, image)
  return image
}

test('a VM made from images has their contents on its disks, grown to the wanted sizes', async () => {
  const stop = horcrux.work()
  const limits = { instances: 2, disk: 4 * GiB }
  await horcrux.call(resourcePools, 'create', { id: 'small', name: 'small', limits })
  const [qcow2, vdi] = [await imageOf('qcow2', 5, 8), await imageOf('vdi', 6, 8)]
  const disks = [
    { pool: 'images', image: qcow2 },
    { pool: 'images', image: vdi, size: 2 * GiB, format: 'raw' },
  ]
  const ended = await work(horcrux, vms, 'create', { ...machine('copied', disks), resource_pool: 'small', start: true })
  expect(ended).toMatchObject({ state: 'succeeded', progress: { unit: 'bytes', percent: 100 } })
  expect(ended.progress.total).toBeGreaterThanOrEqual(16 * 2 ** 20)
  expect(ended.result).toMatchObject({
    status: 'running',
    disks: [
      { size_bytes: GiB, format: 'qcow2' },
      { size_bytes: 2 * GiB, format: 'raw' },
    ],
  })
  await done(horcrux, vms, 'stop', { id: 'copied', force: true })
  expect(await images.holds('copied-disk-0.qcow2', 5, 0, 8)).toBe(true)
  expect(await images.holds('copied-disk-1.raw', 6, 0, 8)).toBe(true)
  expect((await images.info('copied-disk-0.qcow2'))['virtual-size']).toBe(GiB)
  expect((await images.info('copied-disk-1.raw'))['virtual-size']).toBe(2 * GiB)
  expect(await horcrux.call(resourcePools, 'get', { id: 'small' })).toMatchObject({ used: { disk: 3 * GiB } })
  const more = { ...machine('more', [{ pool: 'images', image: vdi, size: 2 * GiB }]), resource_pool: 'small' }
  await expect(horcrux.call(vms, 'create', more)).rejects.toBeInstanceOf(ConflictError)

  await done(horcrux, devices, 'attachDisk', { id: 'copied', pool: 'images', image: vdi })
  expect(await images.holds('copied-disk-2.qcow2', 6, 0, 8)).toBe(true)
  await done(horcrux, vms, 'delete', { id: 'copied', purge: true })
  await stop()
})

test('an image that names other files, is larger than its disk, or is none is refused, with everything that is wrong', async () => {
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', '/etc/hostname', '-F', 'raw', at('based.qcow2'))
  const aside = `data_file=${at('data.img')}`
  await qemuImg('create', '-q', '-f', 'qcow2', '-o', aside, at('aside.qcow2'), String(GiB))
  await qemuImg('create', '-q', '-f', 'vmdk', '-o', 'subformat=monolithicFlat', at('other.vmdk'), String(GiB))
  await qemuImg('create', '-q', '-f', 'qcow2', at('large.qcow2'), String(3 * GiB))
  const half = await imageOf('vdi', 3, 4)
  await images.host.runChecked('truncate', ['-s', String(2 * 2 ** 20), half])
  await images.host.runChecked('bash', ['-c', 'gzip -c "$0" >"$1"', at('large.qcow2'), at('packed.img')])
  const disks = ['based.qcow2', 'aside.qcow2', 'other.vmdk', 'missing.qcow2'].map((name) => ({ image: at(name) }))
  const wrong = [
    ...disks,
    { image: '/etc/hostname' },
    { image: at('large.qcow2'), size: 2 * GiB },
    { image: half },
    { image: at('packed.img') },
  ]
  const given = machine(
    'wrong',
    wrong.map((disk) => ({ pool: 'images', ...disk })),
  )
  expect((await violationsOf(horcrux.call(vms, 'create', given))).toSorted()).toEqual([
    expect.stringMatching(/^disks.0.image .*backing file/),
    expect.stringMatching(/^disks.1.image .*in another file/),
    expect.stringMatching(/^disks.2.image .*vmdk/),
    expect.stringMatching(/^disks.3.image .*not a file/),
    expect.stringMatching(/^disks.4.image .*allowed folders/),
    `disks.5.size is ${2 * GiB} bytes, the image has ${3 * GiB}`,
    expect.stringMatching(/^disks.6.image .*is cut off: it has 2097152 bytes/),
    expect.stringMatching(/^disks.7.image .*gzip.*unpack it first/),
  ])
})

test('a volume of a storage pool is not copied as an image', async () => {
  const stop = horcrux.work()
  await done(horcrux, volumes, 'create', { id: 'images', name: 'secret', size: GiB })
  const given = machine('thief', [{ pool: 'images', image: images.pathOf('secret.qcow2') }])
  expect(await violationsOf(horcrux.call(vms, 'create', given))).toEqual([
    expect.stringMatching(/^disks.0.image is a disk/),
  ])
  await done(horcrux, volumes, 'delete', { id: 'images', volume: 'secret' })
  await stop()
})

test('a creation cancelled while its image is copied shows its progress and leaves nothing', async () => {
  const stop = horcrux.work()
  const image = await imageOf('raw', 9, 200)
  const asked = horcrux.call(vms, 'create', machine('long', [{ pool: 'images', image }]))
  const faster = await images.slowDown('long-disk-0')
  const { id } = (await asked) as unknown as Operation
  const read = () => horcrux.call(operations, 'get', { id })
  await until(async () => {
    const { progress, ended_at } = await read()
    return ended_at !== null || (progress.unit === 'bytes' && progress.done > 0)
  })
  expect((await read()).progress).toMatchObject({ unit: 'bytes', total: expect.any(Number) })
  await horcrux.call(operations, 'cancel', { id })
  await until(async () => (await read()).ended_at !== null)
  await faster()
  expect(await read()).toMatchObject({ state: 'cancelled' })
  expect((await images.files()).filter((name) => name.startsWith('long'))).toEqual([])
  expect(await images.processes('long-disk-0')).toEqual([])
  expect(await horcrux.call(volumes, 'list', { id: 'images' })).toMatchObject({ total: 0 })
  await stop()
})

test('disk files are readable by their owner alone', async () => {
  const stop = horcrux.work()
  for (const format of ['qcow2', 'raw'])
    await done(horcrux, volumes, 'create', { id: 'images', name: `own-${format}`, size: GiB, format })
  for (const mode of ['full', 'linked'])
    await done(horcrux, volumes, 'clone', { id: 'images', volume: 'own-qcow2', name: `own-${mode}`, mode })
  const image = await imageOf('qcow2', 4, 1)
  await done(horcrux, vms, 'create', machine('own', [{ pool: 'images', image }]))
  const files = (await images.files()).filter((name) => name.startsWith('own'))
  expect(files).toHaveLength(5)
  for (const file of files) expect((await images.host.stat(images.pathOf(file)))?.mode, file).toBe(0o600)
  await done(horcrux, vms, 'delete', { id: 'own', purge: true })
  for (const name of ['own-linked', 'own-full', 'own-qcow2', 'own-raw'])
    await done(horcrux, volumes, 'delete', { id: 'images', volume: name })
  await stop()
})
