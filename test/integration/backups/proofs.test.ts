import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { asService } from '#shared/access/access.ts'
import { type BackupJob, backupJobs } from '#shared/contracts/storage/backup-jobs.ts'
import { type Backup, backups, backupStores } from '#shared/contracts/storage/backups.ts'
import { type Operation, operations } from '#shared/contracts/core/operations.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { within } from '#shared/runtime/request-context.ts'
import { proveDue } from '../../../services/storage/backups/jobs/prove-due.ts'
import { guestPrefix } from '../../../tools/tiny-guest/tiny-guest.ts'
import { type CloneLab, startCloneLab } from '../../lab/guests/clones.ts'
import { guestOn } from '../../lab/guests/tiny-guest.ts'
import { done, work } from '../../lab/product/run-operation.ts'
import { folderOf } from '../../lab/storage/folder-of.ts'
import { until } from '../../lab/wait.ts'

let lab: CloneLab
let store: string
let tries = 0
beforeAll(async () => {
  lab = await startCloneLab()
})
afterAll(() => lab?.stop())
afterEach(() => lab.clear())

const newStore = async () => {
  const id = `proven-${++tries}`
  store = folderOf(await lab.horcrux.call(pools, 'create', { id, type: 'dir' }))
  return id
}
const back = async (vm_id: string, pool: string) =>
  (await done(lab.horcrux, backups, 'create', { vm_id, pool })) as Backup
/** Waits as long as it takes: under load a guest needs minutes to boot. */
const prove = async (id: string, check: object) => {
  const { id: operation } = (await lab.horcrux.call(backups, 'prove', { id, check } as never)) as unknown as Operation
  const ended = await until(
    async () => {
      const found = await lab.horcrux.call(operations, 'wait', { id: operation, timeout: 10 }, { timeoutMs: 30_000 })
      return ['succeeded', 'failed', 'cancelled'].includes(found.state) ? found : undefined
    },
    { what: 'the end of the verification', timeoutMs: 400_000 },
  )
  expect(ended).toMatchObject({ state: 'succeeded', error: null })
  return get(id)
}
const proveStore = (id: string, more: object = {}) => done(lab.horcrux, backupStores, 'prove', { id, ...more })
const get = (id: string) => lab.horcrux.call(backups, 'get', { id })
const vmIds = async () => (await lab.horcrux.call(vms, 'list', {})).data.map(({ id }) => id)
const volumesOf = async () => (await lab.horcrux.call(volumes, 'list', { id: 'images' })).data.map(({ name }) => name)
/** Work of the storage service. */
const asStorage = <T>(work: () => Promise<T>): Promise<T> =>
  within(
    { broker: lab.horcrux.broker, service: 'storage', caller: asService('storage'), requestId: 'proofs-test' },
    work,
  )
const damage = async () => {
  const folder = join(store, 'objects/backups/packs')
  const pack = (await readdir(folder, { recursive: true })).find((name) => name.length > 60)
  const bytes = await readFile(join(folder, pack!))
  bytes[10]! ^= 0xff
  await writeFile(join(folder, pack!), bytes)
}

test('a backup is booted without a network beside its virtual machine, judged by serial console, agent and time, and removed', async () => {
  const pool = await newStore()
  await lab.makeSource('web', { memory: 256, nics: [{ bridge: 'lan' }], boot: await guestOn(lab.lab, { agent: true }) })
  const { id, boot } = await back('web', pool)
  expect(boot).toBeNull()
  const [before, files] = [await volumesOf(), await lab.images.files()]

  const ending = prove(id, { kind: 'serial', text: `${guestPrefix} up`, seconds: 400 })
  const proof = await until(
    async () =>
      (await lab.horcrux.call(vms, 'list', { filter: 'name:proof-*' })).data.find(({ status }) => status === 'running'),
    { what: 'the guest of the verification', timeoutMs: 200_000 },
  )
  expect(proof).toMatchObject({ nics: [], tags: [] })
  expect((await ending).boot).toMatchObject({ ok: true, error: null, detail: `It wrote '${guestPrefix} up'` })

  expect((await prove(id, { kind: 'agent', seconds: 400 })).boot).toMatchObject({ ok: true, error: null })
  expect(await vmIds()).toEqual(['web'])
  expect(await volumesOf()).toEqual(before)
  expect(await lab.images.files()).toEqual(files)
})

test('a backup that has lost bytes gets a failed verification, and leaves nothing', async () => {
  const pool = await newStore()
  await lab.makeSource('web')
  const { id } = await back('web', pool)
  await damage()
  const failed = await work(lab.horcrux, backups, 'prove', { id, check: { kind: 'running', seconds: 1 } })
  expect(failed.state).toBe('failed')
  const { boot } = await get(id)
  expect(boot).toMatchObject({ ok: false, error: expect.stringContaining('cannot be read') as string })
  expect(await vmIds()).toEqual(['web'])
})

test('a store is read in shares: a backup is proven when all of it was read, and damage is told by the backups that it touches', async () => {
  const pool = await newStore()
  await lab.makeSource('web')
  const first = await back('web', pool)
  await proveStore(pool, { days: 365 })
  expect((await get(first.id)).data).toBeNull()
  expect(await proveStore(pool)).toMatchObject({ damaged_chunks: 0, proven: 1, damaged: [] })
  expect((await get(first.id)).data).toMatchObject({ ok: true, error: null })

  await lab.makeSource('other')
  await lab.images.write('other-disk-0.qcow2', 0x11, 0, 16)
  await lab.images.write('other-disk-1.raw', 0x22, 100, 16)
  const second = await back('other', pool)
  expect(second.data).toBeNull()
  const index = (await lab.horcrux.call(backupStores, 'get', { id: pool })).damaged
  expect(index).toEqual([])
  expect(await proveStore(pool)).toMatchObject({ proven: 2 })
  await damage()
  const found = (await proveStore(pool)) as { damaged: string[] }
  expect(found.damaged).toHaveLength(1)
  const [bad] = found.damaged
  expect((await get(bad!)).data).toMatchObject({
    ok: false,
    error: expect.stringContaining('chunks are damaged') as string,
  })
  expect((await get(bad === first.id ? second.id : first.id)).data).toMatchObject({ ok: true })

  // The next backup of the same disk heals it; it is whole again once all of it was read.
  await back(bad === first.id ? 'web' : 'other', pool)
  expect(await proveStore(pool)).toMatchObject({ damaged: [], proven: 3 })
  expect((await get(bad!)).data).toMatchObject({ ok: true })
})

test('a job has its backups proven, and what is not proven is told', async () => {
  const pool = await newStore()
  await lab.makeSource('web')
  const given = {
    name: 'nightly',
    selection: { kind: 'vm', vm_id: 'web' },
    pool,
    proof: {
      data_days: 1,
      boot: { every_hours: 24, check: { kind: 'running', seconds: 1 } },
      max_data_age_hours: 48,
      max_boot_age_hours: 48,
    },
  }
  const { id } = (await lab.horcrux.call(backupJobs, 'create', given as never)) as BackupJob
  await done(lab.horcrux, backupJobs, 'run', { id })
  const [{ id: backup }] = (await lab.horcrux.call(backups, 'list', { filter: `job_id:${id}` })).data as [Backup]
  await asStorage(proveDue)
  // The same day and window: nothing is begun twice.
  await asStorage(proveDue)
  const proven = await until(
    async () => {
      const { data, boot } = await get(backup)
      return data && boot ? { data, boot } : undefined
    },
    { what: 'both verifications', timeoutMs: 200_000 },
  )
  expect(proven).toMatchObject({ data: { ok: true }, boot: { ok: true } })
  await until(async () => (await vmIds()).length === 1, { what: 'the end of the guest' })
  const summary = () => lab.horcrux.call(backupJobs, 'summary', {})
  expect(await summary()).toMatchObject({ unproven: 0, proofs: [] })
  await prove(backup, { kind: 'serial', text: 'never written', seconds: 1 })
  expect((await summary()).proofs).toMatchObject([{ job_id: id, vm_id: 'web', level: 'boot' }])
  await lab.horcrux.call(backupJobs, 'update', { id, proof: null })
  expect(await summary()).toMatchObject({ unproven: 0 })
})
