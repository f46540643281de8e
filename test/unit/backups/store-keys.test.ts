import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import mongoose from 'mongoose'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { startTestStore, type TestStore } from '@horcrux/embedded-store/test-store'
import { setConfig } from '#shared/config/config.ts'
import { localNode } from '#shared/contracts/common.ts'
import { ConflictError } from '#shared/errors.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { wrapFor } from '../../../services/storage/backups/keys/change.ts'
import { makeKey, makeStore, requireEmpty, undoStore } from '../../../services/storage/backups/keys/encrypt.ts'
import { makeIdentity, unwrapKey } from '../../../services/storage/backups/keys/key-file.ts'
import { keyRecords } from '../../../services/storage/backups/keys/model.ts'
import { dataKeyOf } from '../../../services/storage/backups/keys/unlock.ts'
import { viewOf } from '../../../services/storage/backups/keys/view.ts'
import { type Objects, objectsOf } from '../../../services/storage/backups/store/objects.ts'
import { prepared, unlocked } from '../../../services/storage/backups/store/open-store.ts'
import { dir } from '../../../services/storage/drivers/dir/dir.ts'
import { loadDisk, saveDisk } from './disks.ts'

const at = '2026-11-30T04:05:00.000Z'
const secretKey = 'a'.repeat(64)
const use = (key: string) => setConfig({ dataDir: '/nonexistent', logLevel: 'silent', secretKey: key })
let lab: TestStore
beforeAll(async () => {
  lab = await startTestStore()
  use(secretKey)
  await mongoose.connect(lab.url('store-keys'))
})
afterAll(async () => {
  await mongoose.disconnect()
  await lab.stop()
})

let pool: string
let folder: string
let stored: Objects
let tries = 0
beforeEach(async () => {
  use(secretKey)
  folder = await mkdtemp(join(tmpdir(), 'store-keys-'))
  pool = `pool-${++tries}`
  stored = objectsOf(dir.objects!, localHost(), { node: localNode, path: folder })
})
afterEach(() => rm(folder, { recursive: true }))

const pathOf = (key: string) => join(folder, 'objects/backups', key)
const stanzas = async () => (await readFile(pathOf('keys/data.age'), 'utf8')).match(/^-> X25519 /gm)?.length
const named = (name: string, recipient: string) => ({ name, recipient, added_at: at })
const disk = [Buffer.alloc(3000, 'text '), null]

/** Removes the record without the event that would tell of it on a bus. */
const forget = () => keyRecords.model.collection.deleteOne({ _id: pool as never })

async function encrypted() {
  const alice = await makeIdentity()
  await makeKey({ pool, recipients: [{ name: 'alice', recipient: alice.recipient }] })
  await makeStore(pool, stored)
  return alice
}

test('an encrypted store is opened with the key of its record, which is nowhere in clear', async () => {
  const alice = await encrypted()
  const manifest = await saveDisk(await prepared(pool, stored), 'b1', disk)
  expect(await loadDisk(await unlocked(pool, stored), manifest)).toEqual(disk)
  const record = await keyRecords.require(pool)
  const dataKey = await dataKeyOf(record)
  expect(await unwrapKey(await readFile(pathOf('keys/data.age')), alice.identity)).toEqual(dataKey)
  const texts = [JSON.stringify(record), await readFile(pathOf('config.json'), 'utf8')]
  for (const form of ['hex', 'base64', 'base64url'] as const)
    for (const text of texts) expect(text).not.toContain(dataKey.toString(form))
  expect(JSON.stringify(record)).not.toContain('AGE-SECRET-KEY')
  expect(Object.keys(viewOf(pool, record)).toSorted()).toEqual(['id', 'key_id', 'own_recipient', 'recipients'])
})

test('a step that is repeated keeps the key that its first try has made', async () => {
  await encrypted()
  const { key_id } = await keyRecords.require(pool)
  const before = await prepared(pool, stored)
  await makeKey({ pool, recipients: [] })
  await makeStore(pool, stored)
  expect((await keyRecords.require(pool)).key_id).toBe(key_id)
  const manifest = await saveDisk(before, 'b1', disk)
  expect(await loadDisk(await unlocked(pool, stored), manifest)).toEqual(disk)
})

test('an encryption that is undone leaves the store that was there, or none', async () => {
  await encrypted()
  await undoStore(stored, false)
  await forget()
  expect(await readdir(pathOf('keys')).catch(() => [])).toEqual([])
  expect((await unlocked(pool, stored)).encryption.keyId).toBeNull()
  await prepared(pool, stored)
  const before = await readFile(pathOf('config.json'), 'utf8')
  await encrypted()
  expect(await readFile(pathOf('config.json'), 'utf8')).not.toBe(before)
  await undoStore(stored, true)
  await forget()
  expect(await readFile(pathOf('config.json'), 'utf8')).toBe(before)
})

test('recipients change, and packs and manifests stay as they are', async () => {
  const alice = await encrypted()
  const bob = await makeIdentity()
  const manifest = await saveDisk(await prepared(pool, stored), 'b1', disk)
  const kept = async () => {
    const keys = (await stored.list('')).map(({ key }) => key).filter((key) => !key.startsWith('keys/'))
    return Promise.all(keys.map(async (key) => [key, await stored.get(key)]))
  }
  const before = await kept()
  await wrapFor(pool, [named('alice', alice.recipient), named('bob', bob.recipient)])
  await prepared(pool, stored)
  expect(await stanzas()).toBe(3)
  const dataKey = await dataKeyOf(await keyRecords.require(pool))
  expect(await unwrapKey(await readFile(pathOf('keys/data.age')), bob.identity)).toEqual(dataKey)
  await wrapFor(pool, [named('bob', bob.recipient)])
  await prepared(pool, stored)
  expect(await stanzas()).toBe(2)
  await expect(unwrapKey(await readFile(pathOf('keys/data.age')), alice.identity)).rejects.toThrow('for others')
  expect(await kept()).toEqual(before)
  expect(await loadDisk(await unlocked(pool, stored), manifest)).toEqual(disk)
})

test('a key file that a stranger has put into the store is never used, and is replaced', async () => {
  await encrypted()
  const own = await readFile(pathOf('keys/data.age'))
  const manifest = await saveDisk(await prepared(pool, stored), 'b1', disk)
  await writeFile(pathOf('keys/data.age'), 'age-encryption.org/v1\n')
  expect(await loadDisk(await unlocked(pool, stored), manifest)).toEqual(disk)
  await prepared(pool, stored)
  expect(await readFile(pathOf('keys/data.age'))).toEqual(own)
})

test('a store whose key is not there is neither read nor written, and its objects can be removed', async () => {
  await encrypted()
  const manifest = await saveDisk(await prepared(pool, stored), 'b1', disk)
  const record = await keyRecords.require(pool)
  await forget()
  for (const opening of [unlocked(pool, stored), prepared(pool, stored)])
    await expect(opening).rejects.toThrow(`is encrypted with key ${record.key_id}, and this Horcrux does not have it`)
  const { version: _, ...again } = record
  await keyRecords.insert(again)
  expect(await loadDisk(await unlocked(pool, stored), manifest)).toEqual(disk)
  use('b'.repeat(64))
  await expect(dataKeyOf(record)).rejects.toThrow(ConflictError)
  await expect(dataKeyOf(record)).rejects.toThrow('HORCRUX_SECRET_KEY is another one than at its encryption')
  for (const { key } of await stored.list('backups/')) await stored.remove(key)
  await expect(requireEmpty(pool, stored)).rejects.toThrow('has 1 packs of deleted backups, which are not encrypted')
})

test('a store without its configuration is encrypted again, and never goes on in clear', async () => {
  await encrypted()
  const manifest = await saveDisk(await prepared(pool, stored), 'b1', disk)
  const before = await readFile(pathOf('config.json'), 'utf8')
  await rm(pathOf('config.json'))
  expect(await loadDisk(await prepared(pool, stored), manifest)).toEqual(disk)
  expect(await readFile(pathOf('config.json'), 'utf8')).toBe(before)
  await rm(pathOf('config.json'))
  await forget()
  await expect(prepared(pool, stored)).rejects.toThrow('has lost its config.json, and was encrypted')
})

test('backups are restored while the configuration of their store is damaged, and none is made', async () => {
  await encrypted()
  const manifest = await saveDisk(await prepared(pool, stored), 'b1', disk)
  await writeFile(pathOf('config.json'), '{"format"')
  expect(await loadDisk(await unlocked(pool, stored), manifest)).toEqual(disk)
  await expect(prepared(pool, stored)).rejects.toThrow('config.json of the backup store is damaged')
  await expect(requireEmpty(pool, stored)).rejects.toThrow('has backups (1), which are not encrypted')
})
