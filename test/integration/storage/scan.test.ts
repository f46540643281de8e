import { link, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { pools } from '#shared/contracts/storage/pools.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { clusterService } from '../../../services/cluster/service.ts'
import { storageService } from '../../../services/storage/service.ts'
import { startHorcrux, type TestHorcrux } from '../../lab/product/horcrux.ts'
import { folderOf } from '../../lab/storage/folder-of.ts'
import { done } from '../../lab/product/run-operation.ts'

const GiB = 2 ** 30
let horcrux: TestHorcrux
let folder: string
const qemuImg = (...words: string[]) => localHost().runChecked('qemu-img', words)

beforeAll(async () => {
  horcrux = await startHorcrux({ services: [clusterService, storageService] })
  folder = folderOf(await horcrux.call(pools, 'create', { id: 'dropped', type: 'dir' }))
})
afterAll(() => horcrux?.stop())

test('a second storage pool on a path is refused for its path, and the message names the one that is there', async () => {
  for (const path of [folder, `${folder}/`, `/${folder}`])
    await expect(horcrux.call(pools, 'create', { id: 'second', type: 'dir', path })).rejects.toMatchObject({
      message: expect.stringMatching(`'dropped' is at`),
      details: { field: 'path', id: 'dropped' },
    })
})

test('image files that were put into a folder become volumes; each that cannot is named with the reason', async () => {
  const at = (name: string) => join(folder, name)
  await done(horcrux, volumes, 'create', { id: 'dropped', name: 'own', size: GiB })
  await qemuImg('create', '-q', '-f', 'qcow2', at('new.qcow2'), String(GiB))
  await qemuImg('create', '-q', '-f', 'raw', at('plain.raw'), String(GiB))
  await qemuImg('create', '-q', '-f', 'qcow2', '-u', '-b', '/etc/shadow', '-F', 'raw', at('spy.qcow2'), String(GiB))
  await writeFile(at('broken.qcow2'), 'no image')
  await writeFile(at('notes.txt'), 'notes')
  await writeFile(at('bad name.raw'), '')
  await symlink('/etc/shadow', at('shadow.raw'))
  await link(at('own.qcow2'), at('twin.qcow2'))
  const { data, skipped } = (await done(horcrux, volumes, 'scan', { id: 'dropped' })) as {
    data: { id: string }[]
    skipped: { name: string; reason: string }[]
  }
  expect(data).toMatchObject([
    { id: 'dropped/new', format: 'qcow2', size_bytes: GiB, used_by: null },
    { id: 'dropped/plain', format: 'raw', size_bytes: GiB, used_by: null },
  ])
  const reasons = Object.fromEntries(skipped.map(({ name, reason }) => [name, reason]))
  expect(reasons).toMatchObject({
    'spy.qcow2': expect.stringMatching('backing file'),
    'broken.qcow2': expect.stringMatching('qemu-img'),
    'notes.txt': expect.stringMatching('neither'),
    'bad name.raw': expect.stringMatching('name'),
    'shadow.raw': expect.stringMatching('link'),
    'twin.qcow2': expect.stringMatching('dropped/own'),
  })
  expect(Object.keys(reasons)).toHaveLength(6)
  const again = (await done(horcrux, volumes, 'scan', { id: 'dropped' })) as { data: object[] }
  expect(again.data).toEqual([])
  await done(horcrux, volumes, 'resize', { id: 'dropped', volume: 'new', size: 2 * GiB })
})
