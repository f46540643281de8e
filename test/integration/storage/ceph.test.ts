import { readdir, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Params } from '#shared/contract/contract.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { type Volume, volumes } from '#shared/contracts/storage/volumes.ts'
import { clusterService } from '../../../services/cluster/service.ts'
import { poolRecords } from '../../../services/storage/models.ts'
import { storageService } from '../../../services/storage/service.ts'
import { startHorcrux, type TestHorcrux } from '../../lab/product/horcrux.ts'
import { done } from '../../lab/product/run-operation.ts'
import { available } from '../../lab/requirements.ts'
import { type LabCeph, missingForCeph, startCeph } from '../../lab/storage/ceph.ts'

const GiB = 2 ** 30

describe.skipIf(!available('ceph', await missingForCeph()))('a storage pool in Ceph', () => {
  let horcrux: TestHorcrux
  let ceph: LabCeph
  beforeAll(async () => {
    ceph = await startCeph()
    horcrux = await startHorcrux({ services: [clusterService, storageService] })
  })
  afterAll(() => horcrux?.stop())
  /** Programs of Ceph take long to connect on a busy machine. */
  const patient = { timeoutMs: 60_000 }
  const create = (given: Params<typeof pools, 'create'>) => horcrux.call(pools, 'create', given, patient)

  test('has volumes; its key is stored encrypted, and in no answer', async () => {
    const given = await ceph.newPool()
    const pool = await create({ id: 'rbd', type: 'ceph', ...given })
    expect(pool).toMatchObject({ type: 'ceph', pool: given.pool, user: given.user, nodes: null, health: 'ok' })
    expect(pool.capabilities).toMatchObject({ formats: ['raw'], shared: true, linked_clones: true })
    const shown = [pool, await horcrux.call(pools, 'get', { id: 'rbd' }, patient)]
    expect(JSON.stringify(shown)).not.toContain(given.key)
    expect(JSON.stringify(await poolRecords.require('rbd'))).not.toContain(given.key)

    const made = (await done(horcrux, volumes, 'create', { id: 'rbd', name: 'web', size: GiB })) as Volume
    expect(made).toMatchObject({ format: 'raw', path: null, node: null })
    expect(made.source).toMatchObject({ type: 'network', protocol: 'rbd', name: `${given.pool}/web` })
    expect(JSON.stringify(made)).not.toContain(given.key)
    await done(horcrux, volumes, 'resize', { id: 'rbd', volume: 'web', size: 2 * GiB })
    await done(horcrux, volumes, 'clone', { id: 'rbd', volume: 'web', name: 'full', mode: 'full' })
    await done(horcrux, volumes, 'clone', { id: 'rbd', volume: 'web', name: 'linked', mode: 'linked' })
    expect(JSON.parse(await ceph.admin('rbd', 'ls', given.pool, '--format', 'json'))).toEqual([
      'full',
      'horcrux+pool',
      'linked',
      'web',
    ])
    await expect(horcrux.call(pools, 'delete', { id: 'rbd' })).rejects.toThrow(/still holds 3/)
    for (const volume of ['linked', 'full', 'web']) await done(horcrux, volumes, 'delete', { id: 'rbd', volume })
    expect(JSON.parse(await ceph.admin('rbd', 'ls', given.pool, '--format', 'json'))).toEqual(['horcrux+pool'])
    await horcrux.call(pools, 'delete', { id: 'rbd' }, patient)
    expect(JSON.parse(await ceph.admin('rbd', 'ls', given.pool, '--format', 'json'))).toEqual([])
    for (const name of (await readdir(tmpdir())).filter((one) => one.startsWith('tmp.')))
      expect(await readFile(join(tmpdir(), name), 'utf8').catch(() => '')).not.toContain(given.key)
  })

  test('copies a volume between Ceph and a folder', async () => {
    const given = await ceph.newPool()
    await create({ id: 'far', type: 'ceph', ...given })
    await horcrux.call(pools, 'create', { id: 'near', type: 'dir' })
    await done(horcrux, volumes, 'create', { id: 'near', name: 'a', size: GiB, format: 'raw' })
    await done(horcrux, volumes, 'clone', { id: 'near', volume: 'a', name: 'b', mode: 'full', pool: 'far' })
    const back = await done(horcrux, volumes, 'clone', {
      id: 'far',
      volume: 'b',
      name: 'c',
      mode: 'full',
      pool: 'near',
    })
    expect(back).toMatchObject({ pool: 'near', size_bytes: GiB })
  })

  test('is refused with a key that the cluster does not know, or a pool that it does not have', async () => {
    const given = await ceph.newPool()
    const wrong = { ...given, key: `${given.key.slice(0, -6)}AAAA==` }
    const refused = create({ id: 'wrong', type: 'ceph', ...wrong })
    await expect(refused).rejects.toMatchObject({ name: 'UnavailableError' })
    await expect(refused).rejects.not.toThrow(wrong.key)
    const none = create({ id: 'none', type: 'ceph', ...given, pool: 'none' })
    await expect(none).rejects.toMatchObject({ name: 'NotFoundError' })
    for (const id of ['wrong', 'none']) expect(await poolRecords.get(id)).toBeNull()
  })
})
