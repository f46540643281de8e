import { dirname, join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Operation } from '#shared/contracts/core/operations.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { uploads } from '#shared/contracts/storage/uploads.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { within } from '#shared/runtime/request-context.ts'
import type { StepPlace } from '#shared/operation/observe.ts'
import { clusterService } from '../../../services/cluster/service.ts'
import { sweepDeleted } from '../../../services/storage/volumes/sweep.ts'
import { storageService } from '../../../services/storage/service.ts'
import { sendFile } from '../../lab/faults/upload.ts'
import { startHorcrux, type TestHorcrux } from '../../lab/product/horcrux.ts'
import { done, work } from '../../lab/product/run-operation.ts'
import { folderOf } from '../../lab/storage/folder-of.ts'
import { type SmallDisk, smallDisk } from '../../lab/storage/small-disk.ts'

const MiB = 2 ** 20
const GiB = 2 ** 30
const dataBytes = 32 * MiB
const owner = '/api/vms/it'
const upload = '0198d1c5-7b1e-7000-8000-0000000000af'
const host = localHost()
let horcrux: TestHorcrux
let disk: SmallDisk
/** The file of the volume in the other storage pool. */
let elsewhere: string
/** Called before a step of an operation. */
let before: { step: string; act: () => Promise<void> } | undefined
const observe = async ({ step, when }: StepPlace) => {
  if (when === 'before' && before?.step === step) await before.act()
}

beforeAll(async () => {
  horcrux = await startHorcrux({ services: [clusterService, storageService], observe })
  const other = folderOf(await horcrux.call(pools, 'create', { id: 'other', type: 'dir' }))
  const folder = join(dirname(other), 'small')
  disk = await smallDisk(host, folder, 256 * MiB)
  await horcrux.call(pools, 'create', { id: 'images', type: 'dir', path: folder })
  for (const id of ['images', 'other']) {
    await done(horcrux, volumes, 'create', { id, name: `in-${id}`, size: GiB })
    const { path } = await horcrux.call(volumes, 'get', { id, volume: `in-${id}` })
    await host.runChecked('qemu-io', ['-f', 'qcow2', '-c', `write -P 7 0 ${dataBytes}`, path!])
    elsewhere = path!
  }
  await sendFile(horcrux, upload, 'uploaded', Buffer.alloc(dataBytes, 7))
})
afterAll(async () => {
  // The stop of Horcrux removes its folder.
  await disk?.stop()
  await horcrux?.stop()
  await host.close()
})
afterEach(async () => {
  before = undefined
  await disk.mount()
  await disk.empty()
})

/** Operations on the storage pool that is lost, each with the step before which that happens. */
const cases: { what: string; step: string; run: () => Promise<Operation> }[] = [
  {
    what: 'a volume is made',
    step: 'creating',
    run: () => work(horcrux, volumes, 'create', { id: 'images', name: 'new', size: GiB }),
  },
  {
    what: 'a volume is grown',
    step: 'resizing',
    run: () => work(horcrux, volumes, 'resize', { id: 'images', volume: 'in-images', size: 64 * GiB }),
  },
  {
    what: 'a volume is copied',
    step: 'copying',
    run: () => work(horcrux, volumes, 'clone', { id: 'images', volume: 'in-images', name: 'copy', mode: 'full' }),
  },
  {
    what: 'a linked clone is made',
    step: 'copying',
    run: () => work(horcrux, volumes, 'clone', { id: 'images', volume: 'in-images', name: 'linked', mode: 'linked' }),
  },
  {
    what: 'a volume moves in',
    step: 'copying',
    run: () => work(horcrux, volumes, 'move', { id: 'other', volume: 'in-other', pool: 'images' }),
  },
  {
    what: 'an image is imported',
    step: 'copying',
    run: () =>
      work(horcrux, volumesInternal, 'importFor', {
        id: 'images',
        name: 'imported',
        format: 'qcow2',
        size: GiB,
        owner,
        image: elsewhere,
      }),
  },
  {
    what: 'an upload becomes a volume',
    step: 'copying',
    run: () => work(horcrux, uploads, 'complete', { id: 'images', upload }),
  },
]
/** An operation that needs no room. */
const deletion = {
  what: 'a volume is deleted',
  step: 'deleting',
  run: () => work(horcrux, volumes, 'delete', { id: 'images', volume: 'in-images' }),
}
const troubles = [
  { trouble: 'not mounted', cases: [...cases, deletion], act: () => disk.unmount(), reason: /is not in its place/ },
  { trouble: 'full', cases, act: () => disk.fill(), reason: /nearly full|bytes left|[Nn]o space left|needs/ },
]

/** Deletes volumes that were left, as storage does regularly. */
const sweep = () =>
  within(
    { broker: horcrux.broker, service: 'storage', caller: { kind: 'service', name: 'storage' }, requestId: '' },
    sweepDeleted,
  )

/** All that an operation could have changed; the disk is mounted. */
async function state() {
  const records = await Promise.all(['images', 'other'].map((id) => horcrux.call(volumes, 'list', { id })))
  const kept = records.flatMap(({ data }) => data.map(({ name, size_bytes, used_by }) => [name, size_bytes, used_by]))
  const files = (await host.list(disk.folder)).filter(({ name }) => name !== 'filler').map(({ name }) => name)
  const { state: of } = await horcrux.call(uploads, 'get', { id: 'images', upload })
  return { kept, files: files.toSorted(), upload: of }
}

describe.each(troubles)('while a storage pool is $trouble', ({ cases: all, act, reason }) => {
  test.each(all)('and $what, it fails with the reason and changes nothing', async ({ step, run }) => {
    const known = await state()
    before = { step, act }
    const failed = await run()
    expect(failed, JSON.stringify(failed.error)).toMatchObject({
      state: expect.stringMatching(/^(failed|rolled_back)$/),
    })
    expect(JSON.stringify(failed.error)).toMatch(reason)
    await disk.mount()
    // It may have left what it could not reach.
    await sweep()
    expect(await state()).toEqual(known)
  })
})

test('a volume is not taken for deleted while its storage pool is away', async () => {
  await disk.unmount()
  const deleting = horcrux.call(volumes, 'delete', { id: 'images', volume: 'in-images' })
  await expect(deleting).rejects.toThrow(/is not in its place/)
})

test('a volume is deleted from a full storage pool, and an upload becomes a volume once there is room', async () => {
  before = { step: 'deleting', act: () => disk.fill() }
  await done(horcrux, volumes, 'delete', { id: 'images', volume: 'in-images' })
  await disk.empty()
  await done(horcrux, uploads, 'complete', { id: 'images', upload })
  await done(horcrux, volumes, 'move', { id: 'other', volume: 'in-other', pool: 'images' })
  const { data } = await horcrux.call(volumes, 'list', { id: 'images' })
  expect(data.map(({ name }) => name).toSorted()).toEqual(['in-other', 'uploaded'])
})
