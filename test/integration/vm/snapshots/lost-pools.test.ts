import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { type Snapshot, snapshots } from '#shared/contracts/vm/snapshots.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { ConflictError } from '#shared/errors.ts'
import type { StepPlace } from '#shared/operation/observe.ts'
import { clusterService } from '../../../../services/cluster/service.ts'
import { storageService } from '../../../../services/storage/service.ts'
import { vmService } from '../../../../services/vm/service.ts'
import { asNode, clear } from '../../../lab/faults/scenarios.ts'
import { refusal } from '../../../lab/guests/clones.ts'
import { imagesOf } from '../../../lab/guests/disks.ts'
import { labHosts } from '../../../lab/hosts/lab.ts'
import { startHorcrux, type TestHorcrux } from '../../../lab/product/horcrux.ts'
import { done, work } from '../../../lab/product/run-operation.ts'
import { type SmallDisk, smallDisk } from '../../../lab/storage/small-disk.ts'

const MiB = 2 ** 20
const GiB = 2 ** 30
const folder = '/var/lib/libvirt/images/small'

const [lab] = labHosts
const { host } = imagesOf(lab!)
let horcrux: TestHorcrux
let disk: SmallDisk
/** Called before a step of an operation. */
let before: { step: RegExp; act: () => Promise<void> } | undefined
const observe = async ({ step, when }: StepPlace) => {
  if (when === 'before' && before?.step.test(step)) await before.act()
}

beforeAll(async () => {
  disk = await smallDisk(host, folder, 256 * MiB)
  horcrux = await startHorcrux({ services: [clusterService, storageService, vmService], observe })
  await done(horcrux, nodes, 'register', asNode('hv1', lab!))
  await horcrux.call(pools, 'create', { id: 'images', type: 'dir', node: 'hv1', path: folder })
})
afterAll(async () => {
  // The stop of Horcrux closes the connection to the host.
  await disk?.stop()
  await horcrux?.stop()
})
afterEach(async () => {
  before = undefined
  await disk.mount()
  await disk.empty()
  await clear(horcrux)
})

const make = (start: boolean) =>
  done(horcrux, vms, 'create', {
    id: 'it',
    name: 'it',
    memory: 128,
    cpus: 1,
    node: 'hv1',
    disks: [{ pool: 'images', size: GiB }],
    start,
  })
const take = async (name: string) => (await done(horcrux, snapshots, 'create', { id: 'it', name })) as Snapshot
const files = async () => (await host.list(folder)).map(({ name }) => name).filter((name) => name !== 'filler')
/** All that an operation could have changed. */
const state = async () => {
  const { status, disks } = await horcrux.call(vms, 'get', { id: 'it' })
  const { snapshots: count } = await horcrux.call(volumes, 'get', { id: 'images', volume: 'it-disk-0' })
  const { data } = await horcrux.call(snapshots, 'list', { id: 'it' })
  return { status, sources: disks.map(({ source }) => source), count, snapshots: data.map((each) => each.state) }
}
const refusedNow = (action: 'create' | 'delete', params: Record<string, unknown>) =>
  refusal(horcrux.call(snapshots, action, params) as Promise<unknown>, ConflictError)

const troubles = [
  { what: 'full', act: () => disk.fill(), reason: /nearly full|bytes left/ },
  { what: 'not mounted', act: () => disk.unmount(), reason: /is not in its place/ },
]

describe.each(troubles)('while a storage pool is $what', ({ act, reason }) => {
  test('no snapshot of a running guest is taken, at the request or later, and the guest runs on', async () => {
    await make(true)
    const [known, there] = [await state(), await files()]
    before = { step: /^taking$/, act }
    const failed = await work(horcrux, snapshots, 'create', { id: 'it', name: 'one' })
    expect(failed).toMatchObject({ state: 'failed', error: { message: expect.stringMatching(reason) } })
    expect(await state()).toEqual(known)
    expect(known.status).toBe('running')
    before = undefined
    expect((await refusedNow('create', { id: 'it', name: 'one' })).message).toMatch(reason)
    await disk.mount()
    expect(await files()).toEqual(there)
    await disk.empty()
    await take('one')
  })

  test('no snapshot is restored, and the guest keeps its disks', async () => {
    await make(false)
    const { id: snapshot_id } = await take('one')
    const [known, there] = [await state(), await files()]
    before = { step: /^opening heads$/, act }
    const failed = await work(horcrux, snapshots, 'restore', { id: 'it', snapshot_id })
    expect(failed).toMatchObject({ state: 'failed', error: { message: expect.stringMatching(reason) } })
    expect(await state()).toEqual(known)
    await disk.mount()
    expect(await files()).toEqual(there)
    before = undefined
    await disk.empty()
    await done(horcrux, snapshots, 'restore', { id: 'it', snapshot_id })
  })

  test('no snapshot is deleted, at the request or later, and it stays as it is', async () => {
    await make(true)
    const { id: snapshot_id } = await take('one')
    const [known, there] = [await state(), await files()]
    before = { step: /^planning /, act }
    const failed = await work(horcrux, snapshots, 'delete', { id: 'it', snapshot_id })
    expect(failed).toMatchObject({ state: 'failed', error: { message: expect.stringMatching(reason) } })
    expect(await state()).toEqual(known)
    before = undefined
    expect((await refusedNow('delete', { id: 'it', snapshot_id })).message).toMatch(reason)
    await disk.mount()
    expect(await files()).toEqual(there)
    await disk.empty()
    await done(horcrux, snapshots, 'delete', { id: 'it', snapshot_id })
    expect((await state()).snapshots).toEqual([])
  })
})
