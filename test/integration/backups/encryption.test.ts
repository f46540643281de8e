import { mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { backupStoreKeys, type StoreEncryption } from '#shared/contracts/storage/backup-keys.ts'
import { type Backup, backups, backupStores } from '#shared/contracts/storage/backups.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { ConflictError, ValidationError } from '#shared/errors.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { makeIdentity } from '../../../services/storage/backups/keys/key-file.ts'
import { type CloneLab, refusal, startCloneLab } from '../../lab/guests/clones.ts'
import { done } from '../../lab/product/run-operation.ts'
import { folderOf } from '../../lab/storage/folder-of.ts'

const MiB = 2 ** 20
let lab: CloneLab
let pool: string
let store: string
let tries = 0
let folder: string
beforeAll(async () => {
  lab = await startCloneLab()
  folder = await mkdtemp(join(tmpdir(), 'restored-'))
})
afterAll(async () => {
  await lab?.stop()
  await rm(folder, { recursive: true })
})
afterEach(() => lab.clear())

/** A storage pool for a store, which is made by `encrypt` or by the first backup. */
async function newStore(): Promise<void> {
  pool = `sealed-${++tries}`
  store = join(folderOf(await lab.horcrux.call(pools, 'create', { id: pool, type: 'dir' })), 'objects/backups')
}
const encrypt = async (recipients: { name: string; recipient: string }[]) =>
  (await done(lab.horcrux, backupStoreKeys, 'encrypt', { id: pool, recipients })) as StoreEncryption
const back = async () => (await done(lab.horcrux, backups, 'create', { vm_id: 'web', pool })) as Backup
const fileOf = async (id: string, disk = 0) => {
  const { disks } = await lab.horcrux.call(vms, 'get', { id })
  return (disks[disk]!.source as { path: string }).path.split('/').at(-1)!
}
/** Restores a disk by the program in the store. @returns its path, or the words of the refusal */
async function restoreBy(identity: string, backup: string, disk: string): Promise<string> {
  const [identities, out] = [join(folder, 'identity.txt'), join(folder, `disk-${++tries}.raw`)]
  await writeFile(identities, `${identity}\n`)
  const files = await readdir(join(store, 'backups/web'))
  const manifest = join(
    store,
    'backups/web',
    files.find((name) => name.endsWith(`-${backup}.json`))!,
  )
  const words = [join(store, 'restore.mjs'), '-i', identities, manifest, disk, out]
  const { code, stderr } = await localHost().run(process.execPath, words)
  return code === 0 ? out : stderr
}

test('an encrypted store gives back its backups to Horcrux and to each recipient, and tells its files nothing', async () => {
  await newStore()
  await lab.makeSource('web')
  const [alice, bob] = [await makeIdentity(), await makeIdentity()]
  const made = await encrypt([{ name: 'alice', recipient: alice.recipient }])
  expect(made).toMatchObject({ id: pool, key_id: expect.stringMatching(/^[0-9a-f]{32}$/) as string })
  const first = await back()
  expect(first.data_bytes).toBe(32 * MiB)
  expect((await back()).new_bytes).toBe(0)
  await done(lab.horcrux, backupStoreKeys, 'addRecipient', { id: pool, name: 'bob', recipient: bob.recipient })

  const verified = (await done(lab.horcrux, backups, 'verify', { id: first.id })) as Backup
  expect(verified).toMatchObject({ structure: { ok: true }, data: { ok: true } })
  await done(lab.horcrux, backups, 'restore', { id: first.id, vm_id: 'copy' })
  expect(await lab.images.areEqual(await fileOf('web'), await fileOf('copy'))).toBe(true)
  for (const { identity } of [alice, bob]) {
    await using disk = await open(await restoreBy(identity, first.id, 'vdb'))
    const { buffer } = await disk.read(Buffer.alloc(16 * MiB), 0, 16 * MiB, 100 * MiB)
    expect(buffer.equals(Buffer.alloc(16 * MiB, 0xb2))).toBe(true)
  }
  for (const name of await readdir(store, { recursive: true }))
    if (/^(backups|index|packs)\//.test(name)) {
      const bytes = await readFile(join(store, name)).catch(() => Buffer.alloc(0))
      expect(bytes.includes('web-disk-0')).toBe(false)
      expect(bytes.includes(Buffer.alloc(64, 0xa1))).toBe(false)
    }

  await done(lab.horcrux, backupStoreKeys, 'removeRecipient', { id: pool, name: 'alice' })
  expect(await restoreBy(alice.identity, first.id, 'vdb')).toContain('encrypted for other recipients')
  expect(await lab.horcrux.call(backupStoreKeys, 'get', { id: pool })).toMatchObject({ recipients: [{ name: 'bob' }] })
  const last = await refusal(
    done(lab.horcrux, backupStoreKeys, 'removeRecipient', { id: pool, name: 'bob' }),
    ConflictError,
  )
  expect(last.message).toContain('the only one besides Horcrux')

  await rm(join(store, 'keys/data.age'))
  expect((await lab.horcrux.call(backupStores, 'get', { id: pool })).damaged).toEqual([
    'keys/data.age is missing or has changed: the next backup writes it again',
  ])
  await back()
  expect((await lab.horcrux.call(backupStores, 'get', { id: pool })).damaged).toEqual([])
  expect(await restoreBy(bob.identity, first.id, 'vdb')).toContain('.raw')
})

test('a store with backups is not encrypted later, and a store that was exchanged is not touched', async () => {
  await newStore()
  await lab.makeSource('web')
  const { recipient } = await makeIdentity()
  const { id } = await back()
  const refused = await refusal(encrypt([{ name: 'me', recipient }]), ConflictError)
  expect(refused.message).toContain('has backups (1), which are not encrypted')
  await done(lab.horcrux, backups, 'delete', { id })
  await done(lab.horcrux, backupStores, 'collect', { id: pool })
  const mistyped = recipient.replace(/.$/, (last) => (last === 'q' ? 'p' : 'q'))
  const wrong = await refusal(encrypt([{ name: 'me', recipient: mistyped }]), ValidationError)
  expect(wrong.violations.map(({ field }) => field)).toEqual(['recipients.0.recipient'])
  await encrypt([{ name: 'me', recipient }])
  await back()

  const config = join(store, 'config.json')
  const kept = await readFile(config, 'utf8')
  await writeFile(config, JSON.stringify({ format: 1, chunk_bytes: 4 * MiB, hash: 'sha256', compression: 'zstd' }))
  expect((await refusal(back(), ConflictError)).message).toContain('is not encrypted, but Horcrux has key')
  await writeFile(config, kept)
  expect(await back()).toMatchObject({ state: 'ready', new_bytes: 0 })
})
