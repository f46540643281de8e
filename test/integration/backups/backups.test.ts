import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type Backup, backups, backupStores, type RestorePlan } from '#shared/contracts/storage/backups.ts'
import { localNode } from '#shared/contracts/common.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { snapshots } from '#shared/contracts/vm/snapshots.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { ConflictError } from '#shared/errors.ts'
import { type CloneLab, refusal, startCloneLab } from '../../lab/guests/clones.ts'
import { runningSource } from '../../lab/guests/running-source.ts'
import { done, work } from '../../lab/product/run-operation.ts'
import { available } from '../../lab/requirements.ts'
import { folderOf } from '../../lab/storage/folder-of.ts'
import { missingForS3, startS3 } from '../../lab/storage/servers/s3.ts'

const MiB = 2 ** 20
const hasS3 = available('s3', await missingForS3())
let lab: CloneLab
let guest: Awaited<ReturnType<typeof runningSource>>
let store: string
let tries = 0
beforeAll(async () => {
  lab = await startCloneLab()
  guest = await runningSource(lab)
})
afterAll(async () => {
  await guest?.stop()
  await lab?.stop()
})
/** A store of its own for each test, on another node than the disks: the bytes pass through the service. */
const newStore = async () => {
  const id = `store-${++tries}`
  store = folderOf(await lab.horcrux.call(pools, 'create', { id, type: 'dir' }))
  return id
}
afterEach(() => lab.clear())

const back = async (vm_id: string, pool: string, more: object = {}) =>
  (await done(lab.horcrux, backups, 'create', { vm_id, pool, ...more })) as Backup
const restore = async (id: string, more: object = {}) =>
  (await done(lab.horcrux, backups, 'restore', { id, ...more })) as Vm
const verify = async (id: string) => (await done(lab.horcrux, backups, 'verify', { id })) as Backup
const collect = (id: string) => done(lab.horcrux, backupStores, 'collect', { id })
const vmOf = (id: string) => lab.horcrux.call(vms, 'get', { id })
const filesOf = async (id: string) =>
  (await vmOf(id)).disks.map(({ source }) => (source as { path: string }).path.split('/').at(-1)!)
const snapshotsOf = async (id: string) => (await lab.horcrux.call(snapshots, 'list', { id })).data
const packs = async () => {
  const files = await readdir(join(store, 'objects/backups/packs'), { recursive: true })
  return files.filter((name) => name.length > 60).map((name) => join(store, 'objects/backups/packs', name))
}

test('a backup is whole by itself: it restores to a new virtual machine when the others and the source are gone', async () => {
  const pool = await newStore()
  const unusedIn = async () => (await lab.horcrux.call(backupStores, 'get', { id: pool })).unused_bytes
  await lab.makeSource('web', { nics: [{ bridge: 'lan' }], tags: ['prod'] })
  await lab.images.write((await filesOf('web'))[0]!, 0x77, 300, 4)
  const first = await back('web', pool, { protected: true })
  expect(first).toMatchObject({
    vm_id: 'web',
    state: 'ready',
    consistency: null,
    vm_status: 'stopped',
    protected: true,
  })
  expect(first.data_bytes).toBe(36 * MiB)
  expect(await snapshotsOf('web')).toEqual([])

  const same = await back('web', pool)
  expect(same.new_bytes).toBe(0)
  await lab.images.write((await filesOf('web'))[0]!, 0xcc, 0, 1)
  await lab.images.write((await filesOf('web'))[0]!, 0, 300, 4)
  const third = await back('web', pool)
  expect(third.new_bytes).toBe(4 * MiB)
  expect(third.disks[1]!.digest).toBe(first.disks[1]!.digest)

  const plan = (await lab.horcrux.call(backups, 'restore', { id: third.id, vm_id: 'copy', plan: true })) as unknown
  expect(plan as RestorePlan).toMatchObject({ to: 'new', vm_id: 'copy', name: 'web-restored' })
  expect((plan as RestorePlan).differences.map(({ field }) => field)).toEqual(['name', 'nics.0.mac'])
  const copy = await restore(third.id, { vm_id: 'copy' })
  expect(copy).toMatchObject({ name: 'web-restored', status: 'stopped', memory: 128, tags: ['prod'] })
  expect(copy.nics[0]!.mac).not.toBe((await vmOf('web')).nics[0]!.mac)
  const [source, restored] = [await filesOf('web'), await filesOf('copy')]
  for (const index of [0, 1]) expect(await lab.images.areEqual(source[index]!, restored[index]!)).toBe(true)
  // Holes are kept: the raw disk of 1 GiB has 16 MiB of data.
  expect(Number((await lab.images.info(restored[1]!))['actual-size'])).toBeLessThan(40 * MiB)

  const refused = await refusal(done(lab.horcrux, backups, 'delete', { id: first.id }), ConflictError)
  expect(refused.message).toContain('protected')
  await lab.horcrux.call(backups, 'update', { id: first.id, protected: false })
  for (const { id } of [first, same]) await done(lab.horcrux, backups, 'delete', { id })
  await done(lab.horcrux, vms, 'delete', { id: 'copy', purge: true })
  await done(lab.horcrux, vms, 'delete', { id: 'web', purge: true })
  expect(await unusedIn()).toBeGreaterThan(0)
  await collect(pool)
  expect(await lab.horcrux.call(backupStores, 'get', { id: pool })).toMatchObject({
    backups: 1,
    unused_bytes: 0,
    damaged: [],
  })
  const again = await restore(third.id, { vm_id: 'again', keep_macs: true })
  expect(again).toMatchObject({ name: 'web' })
  expect(await lab.images.holds((await filesOf('again'))[0]!, 0xcc, 0, 1)).toBe(true)
  expect(await lab.images.holds((await filesOf('again'))[0]!, 0xa1, 1, 15)).toBe(true)
})

test('a restore to the same virtual machine keeps the present state, and is undone until it has started', async () => {
  const pool = await newStore()
  await lab.makeSource('web', { firmware: 'uefi' })
  const variables = join(lab.lab.stateDir, 'nvram/web.fd')
  await lab.images.host.mkdir(join(lab.lab.stateDir, 'nvram'))
  await writeFile(variables, 'variables of then')
  const { id } = await back('web', pool)
  await writeFile(variables, 'variables of now')
  await lab.images.write((await filesOf('web'))[0]!, 0xdd, 4, 8)
  await lab.images.write((await filesOf('web'))[1]!, 0xee, 500, 1)

  await restore(id, { to: 'same' })
  const [first, second] = (await filesOf('web')) as [string, string]
  expect(await lab.images.holds(first, 0xa1, 0, 16)).toBe(true)
  expect(await lab.images.holds(second, 0, 500, 1)).toBe(true)
  expect(await lab.images.holds(second, 0xb2, 100, 16)).toBe(true)
  expect(await readFile(variables, 'utf8')).toBe('variables of then')
  const [kept] = await snapshotsOf('web')
  expect(kept).toMatchObject({ description: `Before the restore of backup ${id}`, state: 'ready' })

  await done(lab.horcrux, snapshots, 'undoRestore', { id: 'web' })
  const [before] = await filesOf('web')
  expect(await lab.images.holds(before!, 0xdd, 4, 8)).toBe(true)
  expect(await readFile(variables, 'utf8')).toBe('variables of now')
})

test('a guest that runs is backed up while it writes, at one moment of all disks', async () => {
  const pool = await newStore()
  await guest.make('busy')
  const write = (what: string) =>
    guest.types(
      'busy',
      `echo file-${what} >>/mnt/file; for d in vdb vdc; do echo on-${what}-disk | dd of=/dev/$d conv=notrunc,fsync 2>/dev/null; done; echo wrote-${what} $((1+1))`,
      `wrote-${what} 2`,
    )
  await write('one')
  const taken = await back('busy', pool)
  expect(taken).toMatchObject({ state: 'ready', consistency: 'filesystem', vm_status: 'running' })
  await write('two')
  expect(await snapshotsOf('busy')).toEqual([])
  expect(await vmOf('busy')).toMatchObject({ status: 'running' })

  const refused = await refusal(restore(taken.id, { to: 'same' }), ConflictError)
  expect(refused.message).toContain('it is running: stop it first')
  await restore(taken.id, { vm_id: 'copy', start: true })
  await guest.isUp('copy')
  await guest.types(
    'copy',
    'cat /mnt/file; for d in vdb vdc; do head -c 9 /dev/$d; echo; done; echo seen $((40+2))',
    'seen 42',
  )
  const said = await guest.serial('copy')
  expect(said).toContain('file-one')
  expect(said).not.toContain('file-two')
  expect(said.match(/^on-one-di/gm)).toHaveLength(2)
})

test('damage is found by the backups that it touches, a restore of them leaves nothing, and the next backup heals it', async () => {
  const pool = await newStore()
  await lab.makeSource('web')
  const first = await back('web', pool)
  expect((await verify(first.id)).data).toMatchObject({ ok: true, error: null })
  const [pack] = await packs()
  const bytes = await readFile(pack!)
  bytes[10]! ^= 0xff
  await writeFile(pack!, bytes)
  const damaged = await verify(first.id)
  expect(damaged).toMatchObject({ structure: { ok: true }, data: { ok: false } })
  expect(damaged.data!.error).toContain(`pack ${pack!.split('/').at(-1)}`)
  expect((await lab.horcrux.call(backupStores, 'get', { id: pool })).damaged).toHaveLength(1)
  const failed = await work(lab.horcrux, backups, 'restore', { id: first.id, vm_id: 'copy' })
  expect(failed).toMatchObject({
    state: 'failed',
    error: { message: expect.stringContaining('cannot be read') as string },
  })
  expect((await lab.images.files()).filter((name) => name.startsWith('copy'))).toEqual([])

  await back('web', pool)
  expect(await verify(first.id)).toMatchObject({ data: { ok: true } })
  await collect(pool)
  await restore(first.id, { vm_id: 'copy' })
  expect(await lab.images.areEqual((await filesOf('web'))[0]!, (await filesOf('copy'))[0]!)).toBe(true)
})

test.runIf(hasS3)('backups in a bucket restore, share their chunks, are verified, and are collected', async () => {
  const pool = `bucket-${++tries}`
  const given = await (await startS3())()
  await lab.horcrux.call(pools, 'create', { id: pool, type: 's3', nodes: [localNode], prefix: 'vms', ...given })
  await lab.makeSource('web')
  const first = await back('web', pool)
  expect(first).toMatchObject({ state: 'ready', data_bytes: 32 * MiB })
  await lab.images.write((await filesOf('web'))[0]!, 0xcc, 0, 1)
  const second = await back('web', pool)
  expect(second.new_bytes).toBe(4 * MiB)
  const refused = await refusal(lab.horcrux.call(pools, 'delete', { id: pool }), ConflictError)
  expect(refused.message).toContain('still holds objects')

  await restore(first.id, { vm_id: 'copy' })
  const [copy] = await filesOf('copy')
  expect(await lab.images.holds(copy!, 0xa1, 0, 16)).toBe(true)
  await done(lab.horcrux, backups, 'delete', { id: first.id })
  await collect(pool)
  expect(await lab.horcrux.call(backupStores, 'get', { id: pool })).toMatchObject({ backups: 1, damaged: [] })
  expect(await verify(second.id)).toMatchObject({ structure: { ok: true }, data: { ok: true } })
  await restore(second.id, { vm_id: 'again' })
  const [source, again] = [await filesOf('web'), await filesOf('again')]
  for (const index of [0, 1]) expect(await lab.images.areEqual(source[index]!, again[index]!)).toBe(true)
})
