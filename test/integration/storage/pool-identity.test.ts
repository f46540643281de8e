import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { pools } from '#shared/contracts/storage/pools.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { folderOf } from '../../lab/storage/folder-of.ts'
import { ConflictError, NotFoundError, UnavailableError, ValidationError } from '#shared/errors.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { clusterService } from '../../../services/cluster/service.ts'
import { markerName } from '../../../services/storage/drivers/marker.ts'
import { poolRecords } from '../../../services/storage/models.ts'
import { addSample, samplesOf } from '../../../services/storage/pools/samples.ts'
import { storageService } from '../../../services/storage/service.ts'
import { startHorcrux, type TestHorcrux } from '../../lab/product/horcrux.ts'
import { done } from '../../lab/product/run-operation.ts'
import { hangAt } from '../../lab/storage/hanging-mount.ts'

const GiB = 2 ** 30
const host = localHost()
let horcrux: TestHorcrux

beforeAll(async () => {
  horcrux = await startHorcrux({ services: [clusterService, storageService] })
})
afterAll(async () => {
  await horcrux?.stop()
  await host.close()
})

const create = (id: string, more = {}) => horcrux.call(pools, 'create', { id, type: 'dir', ...more })
const get = (id: string) => horcrux.call(pools, 'get', { id })
const createFor = (id: string, name: string) =>
  horcrux.call(volumesInternal, 'createFor', { id, name, size: GiB, owner: '/api/vms/it' }, { timeoutMs: 30_000 })

test('a storage pool tells its usage with source and age, null where it cannot be known, and its floor', async () => {
  await create('told')
  const { usage, fills, health } = await get('told')
  expect(health).toBe('ok')
  expect(usage).toMatchObject({ source: 'statfs', exclusive_bytes: null })
  expect(usage!.age_seconds).toBeLessThan(60)
  const [space] = fills
  expect(space!.name).toBe('space')
  expect(space!.floor_bytes).toBeGreaterThan(0)
  expect(space!.floor_bytes).toBeLessThan(space!.capacity_bytes)
})

test('a storage pool that loses bytes tells when it is full; two samples at a time are one', async () => {
  await create('shrinking')
  const ago = (hours: number) => new Date(Date.now() - hours * 3_600_000).toISOString()
  for (const hours of [4, 3, 2, 1, 1])
    await addSample('shrinking', { at: ago(hours), available: { space: hours * GiB } })
  expect((await samplesOf('shrinking')).map(({ available }) => available['space'])).toEqual(
    [4, 3, 2, 1].map((n) => n * GiB),
  )
  const [space] = (await get('shrinking')).fills
  expect(Date.parse(space!.full_at!)).toBeGreaterThan(Date.now() - 60_000)
  await horcrux.call(pools, 'delete', { id: 'shrinking' })
  expect(await samplesOf('shrinking')).toEqual([])
})

test('images without a record and volumes without an image are told, and nothing is deleted', async () => {
  const path = folderOf(await create('orphans'))
  await createFor('orphans', 'lost')
  await createFor('orphans', 'kept')
  await rename(join(path, 'lost.qcow2'), join(path, 'found.qcow2'))
  await writeFile(join(path, 'notes.txt'), 'notes')
  const told = await horcrux.call(pools, 'orphans', { id: 'orphans' })
  expect(told).toMatchObject({
    images: [{ name: 'found', format: 'qcow2', size_bytes: GiB }],
    volumes: [{ name: 'lost', used_by: '/api/vms/it' }],
    others: [{ name: 'notes.txt' }],
  })
  expect((await readdir(path)).toSorted()).toEqual([markerName, 'found.qcow2', 'kept.qcow2', 'notes.txt'])
  const usage = await horcrux.call(volumes, 'usage', { id: 'orphans', volume: 'kept' })
  expect(usage).toMatchObject({ logical_bytes: GiB, source: 'qemu-img info' })
})

test('an existing disk is detected by its path and its content; an unknown one is never taken for raw', async () => {
  const path = folderOf(await create('detected'))
  await createFor('detected', 'disk')
  const detect = (file: string) => horcrux.call(pools, 'detect', { node: 'local', path: file })
  const image = { type: 'dir', format: 'qcow2', size_bytes: GiB }
  expect(await detect(join(path, 'disk.qcow2'))).toEqual({ ...image, pool: 'detected', volume: 'disk' })
  await host.runChecked('cp', [join(path, 'disk.qcow2'), join(horcrux.dir, 'other.qcow2')])
  expect(await detect(join(horcrux.dir, 'other.qcow2'))).toEqual({ ...image, pool: null, volume: null })
  // The name and the content do not agree.
  await host.runChecked('cp', [join(path, 'disk.qcow2'), join(horcrux.dir, 'other.raw')])
  for (const file of [
    join(horcrux.dir, 'other.raw'),
    '/etc/hostname',
    '/dev/null',
    '/dev/zvol/a/b',
    '/nowhere',
    '/etc',
  ])
    await expect(detect(file)).rejects.toBeInstanceOf(ValidationError)
})

describe('something else in the place of a storage pool', () => {
  test('gets nothing written, in none of the verbs, and the storage pool says so', async () => {
    const path = folderOf(await create('moved'))
    await createFor('moved', 'kept')
    const theirs = `${path}-away`
    await rename(path, theirs)
    // As the folder below a file system that is not mounted.
    await mkdir(path)
    await expect(createFor('moved', 'lost')).rejects.toThrow(/is not in its place.*not mounted/)
    await expect(createFor('moved', 'lost')).rejects.toBeInstanceOf(ConflictError)
    const key = { id: 'moved', volume: 'kept', owner: '/api/vms/it' }
    await expect(horcrux.call(volumesInternal, 'growFor', { ...key, size: 2 * GiB })).rejects.toThrow(
      /not in its place/,
    )
    // It is deleted once the storage pool is back; until then its file stays.
    await horcrux.call(volumesInternal, 'deleteFor', key)
    expect(await readdir(theirs)).toContain('kept.qcow2')
    await expect(horcrux.call(pools, 'activate', { id: 'moved' })).rejects.toThrow(/not in its place/)
    expect(await readdir(path)).toEqual([])
    expect(await get('moved')).toMatchObject({ health: 'foreign', health_reason: expect.stringMatching('mounted') })
    // The folder of another storage pool.
    await create('other')
    await rm(path, { recursive: true })
    await mkdir(path)
    const { path: otherPath } = (await get('other')) as { path: string }
    await writeFile(join(path, markerName), await readFile(join(otherPath, markerName)))
    await expect(createFor('moved', 'lost')).rejects.toThrow(/another storage pool is there/)
    expect(await readdir(path)).toEqual([markerName])
    await rm(path, { recursive: true })
    await expect(createFor('moved', 'lost')).rejects.toBeInstanceOf(NotFoundError)
    expect(await get('moved')).toMatchObject({ health: 'missing', capacity_bytes: null })
    // One with volumes is not made again elsewhere.
    await expect(horcrux.call(pools, 'activate', { id: 'moved' })).rejects.toBeInstanceOf(NotFoundError)
    await rename(theirs, path)
    expect(await get('moved')).toMatchObject({ health: 'ok' })
    await horcrux.call(volumesInternal, 'deleteFor', key)
    expect(await readdir(path)).toEqual([markerName])
  })

  test('is not removed with the storage pool', async () => {
    const path = folderOf(await create('gone'))
    await rm(path, { recursive: true })
    await mkdir(path)
    await writeFile(join(path, 'theirs'), 'theirs')
    await horcrux.call(pools, 'delete', { id: 'gone' })
    expect(await readdir(path)).toEqual(['theirs'])
  })

  test('is no second storage pool by another name of the folder', async () => {
    const path = folderOf(await create('first'))
    const twin = `${path}-twin`
    await mkdir(twin)
    await host.runChecked('mount', ['--bind', path, twin])
    try {
      await expect(create('second', { path: twin })).rejects.toThrow(/storage pool 'first' already, reached by another/)
      await expect(get('second')).rejects.toBeInstanceOf(NotFoundError)
      expect(await get('first')).toMatchObject({ health: 'ok' })
    } finally {
      await host.runChecked('umount', [twin])
    }
  })
})

test('a storage pool of an earlier version gets its identity at the first use; an empty one that is gone is made again', async () => {
  const path = folderOf(await create('earlier'))
  await rm(join(path, markerName))
  await poolRecords.updateWhere({ _id: 'earlier' }, { set: { identity: undefined } })
  await createFor('earlier', 'a')
  expect((await poolRecords.require('earlier')).identity).toMatch(/^[0-9a-f-]{36}$/)
  await horcrux.call(volumesInternal, 'deleteFor', { id: 'earlier', volume: 'a', owner: '/api/vms/it' })
  await rm(path, { recursive: true })
  await horcrux.call(pools, 'activate', { id: 'earlier' })
  expect(await get('earlier')).toMatchObject({ health: 'ok' })
})

test('a storage pool that hangs is unavailable, and holds up no other, no list and no thread', async () => {
  const path = folderOf(await create('hangs'))
  await create('works')
  await createFor('hangs', 'before')
  const hanging = await hangAt(path)
  try {
    // More calls than this process has threads for files.
    const late = Array.from({ length: 12 }, (_, index) => createFor('hangs', `late-${index}`))
    const refused = Promise.all(late.map((call) => expect(call).rejects.toBeInstanceOf(UnavailableError)))
    expect(await createFor('works', 'beside')).toMatchObject({ format: 'qcow2' })
    expect(await readFile('/etc/hostname')).not.toHaveLength(0)
    await refused
    const all = (await horcrux.call(pools, 'list', {}, { timeoutMs: 5000 })).data
    const healthBy = Object.fromEntries(all.map(({ id, health }) => [id, health]))
    expect(healthBy).toMatchObject({ hangs: 'unreachable', works: 'ok' })
    // As it was, with its age.
    expect(all.find(({ id }) => id === 'hangs')!.usage).toMatchObject({ source: 'statfs' })
    await expect(createFor('hangs', 'more')).rejects.toThrow(/\d calls are stuck in it/)
    expect(await horcrux.call(volumes, 'get', { id: 'hangs', volume: 'before' })).toMatchObject({ format: 'qcow2' })
  } finally {
    await hanging.end()
  }
  expect(await createFor('hangs', 'after')).toMatchObject({ format: 'qcow2' })
  expect(await get('hangs')).toMatchObject({ health: 'ok' })
  expect(await done(horcrux, volumes, 'scan', { id: 'hangs' })).toMatchObject({ data: [] })
}, 60_000)
