import { afterAll, beforeAll, expect, test } from 'vitest'
import { pools } from '#shared/contracts/storage/pools.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { ConflictError, type ValidationError } from '#shared/errors.ts'
import { clusterService } from '../../../services/cluster/service.ts'
import { storageService } from '../../../services/storage/service.ts'
import { startHorcrux, type TestHorcrux } from '../../lab/product/horcrux.ts'
import { done } from '../../lab/product/run-operation.ts'

const GiB = 2 ** 30
let horcrux: TestHorcrux
const create = (given: Record<string, unknown>) => horcrux.call(pools, 'create', given)

beforeAll(async () => {
  horcrux = await startHorcrux({ services: [clusterService, storageService] })
  await create({ id: 'one', type: 'dir' })
})
afterAll(() => horcrux.stop())

test('a storage pool has the fields of its kind beside the common ones, and the nodes that reach it', async () => {
  const one = await horcrux.call(pools, 'get', { id: 'one' })
  expect(one).toMatchObject({
    id: 'one',
    name: 'one',
    type: 'dir',
    node: 'local',
    path: `${horcrux.dir}/pools/one`,
    nodes: ['local'],
    capabilities: { default_format: 'qcow2' },
    health: 'ok',
  })
  const list = (filter: string) => horcrux.call(pools, 'list', { filter })
  expect(await list('node:local')).toMatchObject({ total: 1, data: [one].map(({ id, nodes }) => ({ id, nodes })) })
  expect(await list('node:other')).toMatchObject({ total: 0 })
})

test('a second storage pool in one place is refused, naming the first', async () => {
  const again = create({ id: 'two', type: 'dir', path: `${horcrux.dir}/pools/one` })
  await expect(again).rejects.toThrow(/^Storage pool 'one' is at local:.*\/pools\/one already$/)
  const both = [3, 4].map((index) => create({ id: `race-${index}`, type: 'dir', path: `${horcrux.dir}/pools/race` }))
  const made = (await Promise.allSettled(both)).filter(({ status }) => status === 'fulfilled')
  expect(made).toHaveLength(1)
})

test('a wrong storage pool is refused with all violations, and an unknown kind is told which there are', async () => {
  const refused = create({ id: 'new', name: 'a b', type: 'tape', path: 'x' })
  const { violations } = (await refused.catch((error: unknown) => error)) as ValidationError
  expect(violations.map(({ field, message }) => `${field} ${message}`).toSorted()).toEqual([
    expect.stringMatching(/^id must be/),
    expect.stringMatching(/^name must have only/),
    expect.stringMatching(/^type must be one of dir, /),
  ])
  await expect(create({ type: 'dir', path: '/etc/pool' })).rejects.toThrow(
    /path: must lie in one of the allowed folders/,
  )
})

test('a volume says its source and path; its format is the storage pool’s unless given', async () => {
  const made = async (name: string, more = {}) =>
    done(horcrux, volumes, 'create', { id: 'one', name, size: GiB, ...more })
  const path = (file: string) => `${horcrux.dir}/pools/one/${file}`
  expect(await made('a')).toMatchObject({
    format: 'qcow2',
    source: { type: 'file', path: path('a.qcow2') },
    path: path('a.qcow2'),
    node: 'local',
  })
  expect(await made('b', { format: 'raw' })).toMatchObject({ format: 'raw', path: path('b.raw') })
  const asked = { id: 'one', name: 'c', size: GiB, owner: '/api/vms/c' }
  await expect(horcrux.call(volumesInternal, 'createFor', { ...asked, node: 'hv9' })).rejects.toBeInstanceOf(
    ConflictError,
  )
  expect(await horcrux.call(volumesInternal, 'createFor', { ...asked, node: 'local' })).toMatchObject({
    format: 'qcow2',
  })
})

test('a disk source is found as the volume that it is, and a source outside every storage pool is measured', async () => {
  const locate = (source: object, format?: string) =>
    horcrux.call(volumesInternal, 'locate', { node: 'local', source, ...(format !== undefined && { format }) })
  const volume = { type: 'file', path: `${horcrux.dir}/pools/one/a.qcow2` }
  expect(await locate(volume)).toMatchObject({
    pool: 'one',
    name: 'a',
    format: 'qcow2',
    size_bytes: GiB,
    is_known: true,
  })
  const outside = { pool: null, name: null, is_known: false, used_by: null, reads: [] }
  expect(await locate({ type: 'file', path: '/etc/hostname' })).toEqual({ ...outside, format: null, size_bytes: null })
  expect(await locate({ type: 'file', path: '/etc/hostname' }, 'raw')).toMatchObject({ ...outside, size_bytes: 512 })
  const network = { type: 'network', protocol: 'any', name: 'image', servers: [{ host: 'a' }] }
  expect(await locate(network, 'raw')).toEqual({ ...outside, format: 'raw', size_bytes: null })
})
