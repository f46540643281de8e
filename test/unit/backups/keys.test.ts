import { randomBytes } from 'node:crypto'
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { zstdCompressSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { ClosedKeyFile, makeIdentity, unwrapKey, wrapKey } from '../../../services/storage/backups/keys/key-file.ts'
import { violationsOf, withoutRecipient, withRecipient } from '../../../services/storage/backups/keys/recipients.ts'
import { requireFitting } from '../../../services/storage/backups/keys/unlock.ts'
import { checkData, checkStructure } from '../../../services/storage/backups/proof/check.ts'
import { noLedger, readLedger, writeLedger } from '../../../services/storage/backups/proof/ledger.ts'
import { keyOfDamage, readCatalog, readDamage } from '../../../services/storage/backups/store/catalog.ts'
import { chunkBytes } from '../../../services/storage/backups/store/chunks.ts'
import { encryptionWith, keyIdOf, unencrypted } from '../../../services/storage/backups/store/encryption.ts'
import { keyOfManifest, readManifest } from '../../../services/storage/backups/store/manifest.ts'
import { encryptedObjects, type Objects, objectsOf } from '../../../services/storage/backups/store/objects.ts'
import { DamagedPack, sha256 } from '../../../services/storage/backups/store/pack.ts'
import {
  configIn,
  configOf,
  hasStore,
  keyFileKey,
  prepareStore,
  putKeyFile,
} from '../../../services/storage/backups/store/store.ts'
import { dir } from '../../../services/storage/drivers/dir/dir.ts'
import { flip, loadDisk, saveDisk } from './disks.ts'

const dataKey = randomBytes(32)
const encryption = encryptionWith(dataKey)
let folder: string
let stored: Objects
let objects: Objects
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'backup-keys-'))
  stored = objectsOf(dir.objects!, localHost(), { node: 'local', path: folder })
  objects = encryptedObjects(stored, encryption)
})
afterEach(() => rm(folder, { recursive: true }))

const pathOf = (key: string) => join(folder, 'objects/backups', key)
const filesOf = (path: string) =>
  readdirSync(pathOf(path), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))

describe('an encrypted backup store', () => {
  const text = 'the bytes of a secret letter, again and again. '
  const disk = [Buffer.alloc(5000, text), null, Buffer.alloc(5000, text)]

  test('tells no content: not in its files, and not by the ids of chunks or packs', async () => {
    await prepareStore(objects)
    await putKeyFile(objects, Buffer.from('key file'))
    const manifest = await saveDisk(objects, 'b1', disk)
    await writeLedger(objects, noLedger())
    const key = keyOfManifest(manifest)
    const files = filesOf('.')
    const known = [sha256(disk[0]!), manifest.disks[0]!.chunks[0] as string, 'vm-disk-0', text, '"parts"']
    for (const path of files.filter((each) => !/\.(mjs|txt)$/.test(each))) {
      const bytes = readFileSync(path)
      for (const word of known) {
        expect(bytes.includes(word)).toBe(false)
        if (/^[0-9a-f]+$/.test(word)) expect(bytes.includes(Buffer.from(word, 'hex'))).toBe(false)
      }
      expect(bytes.includes(zstdCompressSync(disk[0]!).subarray(0, 40))).toBe(false)
    }
    expect(files.map((path) => path.replace(/.*\/objects\/backups\//, '').split('/')[0])).toEqual(
      expect.arrayContaining(['backups', 'config.json', 'index', 'keys', 'packs', 'proofs.json']),
    )
    expect(await readManifest(objects, key)).toEqual(manifest)
    expect(await readLedger(objects)).toEqual(noLedger())
  })

  test('names the same chunk otherwise with another key, and the same with the same one', async () => {
    const [chunk, zeros] = [randomBytes(100), Buffer.alloc(chunkBytes)]
    const other = encryptionWith(randomBytes(32))
    expect(await encryption.idOf(chunk)).toBe(await encryptionWith(dataKey).idOf(chunk))
    expect(await encryption.idOf(chunk)).not.toBe(await other.idOf(chunk))
    expect(await encryption.idOf(chunk)).not.toBe(await unencrypted.idOf(chunk))
    for (const each of [encryption, other, unencrypted])
      expect(each.idOfZeros(chunkBytes).toString('hex')).toBe(await each.idOf(zeros))
  })

  test('encrypts the same bytes otherwise each time, and each name with a key of its own', async () => {
    const bytes = randomBytes(50)
    const [first, second] = [await encryption.encrypt('a', bytes), await encryption.encrypt('a', bytes)]
    expect(first).not.toEqual(second)
    expect(await encryption.decrypt('a', first)).toEqual(bytes)
    await expect(encryption.decrypt('b', first)).rejects.toThrow(/cannot be decrypted/)
    for (let length = 0; length < first.length; length += 7)
      await expect(encryption.decrypt('a', first.subarray(0, length))).rejects.toThrow(DamagedPack)
    for (let at = 0; at < first.length; at++) {
      const changed = Buffer.from(first)
      changed[at]! ^= 0x10
      await expect(encryption.decrypt('a', changed)).rejects.toThrow(DamagedPack)
    }
  })

  test('is told apart from a damaged one when it is opened with another key', async () => {
    const manifest = await saveDisk(objects, 'b1', disk)
    const wrong = encryptedObjects(stored, encryptionWith(randomBytes(32)))
    await expect(loadDisk(wrong, manifest)).rejects.toThrow(
      /^backups\/vm\/\S+ has content that cannot be decrypted: it has changed, or was encrypted with another key$/,
    )
    expect((await readCatalog(wrong)).damaged).toEqual([expect.stringMatching(/^index\/.*another key$/)])
  })

  test('reports each file that has changed, by the backups that it touches', async () => {
    const manifest = await saveDisk(objects, 'b1', disk)
    const key = keyOfManifest(manifest)
    const written = sha256(await objects.get(key))
    const check = () => checkStructure(objects, key, written)
    expect((await check()).error).toBeNull()
    const [pack] = filesOf('packs')
    for (const { key: index } of await objects.list('index/')) await objects.remove(index)
    flip(pack!, -20)
    expect((await check()).error).toMatch(/in no readable pack; in the store, pack \w+ has content that cannot be dec/)
    flip(pack!, -20)
    flip(pack!, 5)
    const { catalog, chunks, error } = await check()
    expect(error).toBeNull()
    const working = { signal: new AbortController().signal, onProgress: () => undefined }
    expect(await checkData(objects, catalog, chunks, working)).toMatch(
      /^1 of its 1 chunks are damaged: pack \w+ has content that cannot be decrypted/,
    )
    flip(pathOf(key), 30)
    expect((await check()).error).toMatch(/^backups\/vm\/\S+ has content that cannot be decrypted/)
  })

  test('refuses the manifest of one backup in the place of another', async () => {
    const [first, second] = [await saveDisk(objects, 'b1', disk), await saveDisk(objects, 'b2', disk)]
    copyFileSync(pathOf(keyOfManifest(first)), pathOf(keyOfManifest(second)))
    await expect(readManifest(objects, keyOfManifest(second))).rejects.toThrow(DamagedPack)
  })

  test('does without records of verifications that have changed', async () => {
    await writeLedger(objects, { ...noLedger(), run: 7 })
    await objects.put(keyOfDamage('0'.repeat(64)), Buffer.from(JSON.stringify({ chunks: [], reason: 'is gone' })))
    expect((await readDamage(objects)).get('0'.repeat(64))?.reason).toBe('is gone')
    for (const path of filesOf('.')) flip(path, 3)
    expect(await readLedger(objects)).toEqual(noLedger())
    expect((await readDamage(objects)).get('0'.repeat(64))?.reason).toContain('cannot be read')
  })

  test('has its key file again when it was lost or changed', async () => {
    const keyFile = Buffer.from('the key file')
    await putKeyFile(objects, keyFile)
    flip(pathOf(keyFileKey), 2)
    await putKeyFile(objects, keyFile)
    expect(readFileSync(pathOf(keyFileKey))).toEqual(keyFile)
    await objects.remove(keyFileKey)
    await putKeyFile(objects, keyFile)
    expect(readFileSync(pathOf(keyFileKey))).toEqual(keyFile)
  })

  test('says in its configuration that it is encrypted, in a format that earlier versions refuse', async () => {
    await prepareStore(objects)
    expect(await configIn(stored)).toMatchObject({ format: 2, encryption: { key_id: keyIdOf(dataKey) } })
    writeFileSync(pathOf('config.json'), '{"format":3}')
    await expect(configIn(stored)).rejects.toThrow(/has format 3; this version of Horcrux reads 1 and 2/)
    writeFileSync(pathOf('config.json'), '{"form')
    expect(await configIn(stored)).toBeNull()
    await expect(hasStore(stored)).rejects.toThrow(/config.json of the backup store is damaged/)
  })
})

describe('the key of a backup store', () => {
  test('is opened by each of its recipients, and by nobody else', async () => {
    const all = await Promise.all([makeIdentity(), makeIdentity(), makeIdentity()])
    const file = await wrapKey(
      dataKey,
      all.map(({ recipient }) => recipient),
    )
    for (const { identity } of all) expect(await unwrapKey(file, identity)).toEqual(dataKey)
    const { identity } = await makeIdentity()
    await expect(unwrapKey(file, identity)).rejects.toThrow(/encrypted for others, not for this identity/)
    for (const at of [-1, -40, 60, 20]) {
      const changed = Buffer.from(file)
      changed[at < 0 ? changed.length + at : at]! ^= 1
      await expect(unwrapKey(changed, all[0]!.identity)).rejects.toThrow(ClosedKeyFile)
    }
    await expect(unwrapKey(file.subarray(0, -1), all[0]!.identity)).rejects.toThrow(/damaged/)
  })

  test('opens earlier backups for a recipient that is added, and its new file none for one that was removed', async () => {
    const [first, second] = [await makeIdentity(), await makeIdentity()]
    const manifest = await saveDisk(objects, 'b1', [randomBytes(300)])
    const before = filesOf('packs').map((path) => readFileSync(path))
    const added = await wrapKey(dataKey, [first.recipient, second.recipient])
    const opened = encryptedObjects(stored, encryptionWith(await unwrapKey(added, second.identity)))
    expect(await loadDisk(opened, manifest)).toEqual(await loadDisk(objects, manifest))
    const removed = await wrapKey(dataKey, [first.recipient])
    await expect(unwrapKey(removed, second.identity)).rejects.toThrow(ClosedKeyFile)
    expect(await unwrapKey(removed, first.identity)).toEqual(dataKey)
    expect(filesOf('packs').map((path) => readFileSync(path))).toEqual(before)
  })

  test('is used only for the store that it belongs to', () => {
    const [plain, one] = [configOf(null), configOf('11')]
    for (const [config, record] of [
      [null, null],
      [null, { key_id: '11' }],
      [plain, null],
      [one, { key_id: '11' }],
    ] as const)
      expect(() => requireFitting('p', config, record)).not.toThrow()
    const words = [
      [one, null, /is encrypted with key 11, and this Horcrux does not have it/],
      [plain, { key_id: '11' }, /is not encrypted, but Horcrux has key 11/],
      [one, { key_id: '22' }, /is encrypted with key 11, but Horcrux has key 22/],
    ] as const
    for (const [config, record, expected] of words) {
      expect(() => requireFitting('p', config, record)).toThrow(ConflictError)
      expect(() => requireFitting('p', config, record)).toThrow(expected)
    }
  })

  test('has no recipient that is mistyped or given twice', async () => {
    const { recipient } = await makeIdentity()
    const mistyped = `${recipient.slice(0, -1)}${recipient.endsWith('q') ? 'p' : 'q'}`
    const given = [
      { name: 'a', recipient },
      { name: 'a', recipient: mistyped },
      { name: 'b', recipient },
    ]
    const found = await violationsOf(given, (index) => `recipients.${index}.`)
    expect(found.map(({ field, code }) => `${field} ${code}`)).toEqual([
      'recipients.1.recipient invalid',
      'recipients.1.name taken',
      'recipients.2.recipient taken',
    ])
  })

  test('has always a recipient besides Horcrux, each under one name', () => {
    const at = '2026-11-30T04:05:00.000Z'
    const [a, b] = ['a', 'b'].map((name) => ({ name, recipient: `age1${name}`, added_at: at }))
    expect(withRecipient([a!], b!)).toEqual([a, b])
    expect(() => withRecipient([a!], { ...b!, name: 'a' })).toThrow(/a already exists/)
    expect(() => withRecipient([a!], { ...a!, name: 'c' })).toThrow(/with the name 'a'/)
    const many = Array.from({ length: 20 }, (_, index) => ({ name: `n${index}`, recipient: `r${index}`, added_at: at }))
    expect(() => withRecipient(many, a!)).toThrow(/at most 20/)
    expect(withoutRecipient([a!, b!], 'a')).toEqual([b])
    expect(() => withoutRecipient([a!], 'b')).toThrow(NotFoundError)
    expect(() => withoutRecipient([a!], 'a')).toThrow(/the only one besides Horcrux/)
  })
})
