import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { makeIdentity, wrapKey } from '../../../services/storage/backups/keys/key-file.ts'
import { chunkBytes } from '../../../services/storage/backups/store/chunks.ts'
import { encryptionWith } from '../../../services/storage/backups/store/encryption.ts'
import { keyOfManifest, type VmManifest } from '../../../services/storage/backups/store/manifest.ts'
import { encryptedObjects, type Objects, objectsOf } from '../../../services/storage/backups/store/objects.ts'
import { keyFileKey, prepareStore, putKeyFile } from '../../../services/storage/backups/store/store.ts'
import { dir } from '../../../services/storage/drivers/dir/dir.ts'
import { flip, saveDisk } from './disks.ts'

const dataKey = randomBytes(32)
let folder: string
let objects: Objects
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'backup-keys-'))
  const stored = objectsOf(dir.objects!, localHost(), { node: 'local', path: folder })
  objects = encryptedObjects(stored, encryptionWith(dataKey))
})
afterEach(() => rm(folder, { recursive: true }))

const pathOf = (key: string) => join(folder, 'objects/backups', key)
const packs = () =>
  readdirSync(pathOf('packs'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))

describe('the program in an encrypted store', () => {
  const disk = [null, randomBytes(chunkBytes), Buffer.alloc(chunkBytes, 'text '), null]
  let mine: Awaited<ReturnType<typeof makeIdentity>>
  let manifest: VmManifest
  beforeEach(async () => {
    const others = await Promise.all([makeIdentity(), makeIdentity()])
    mine = await makeIdentity()
    const recipients = [others[0]!, mine, others[1]!].map(({ recipient }) => recipient)
    await prepareStore(objects)
    await putKeyFile(objects, await wrapKey(dataKey, recipients))
    manifest = await saveDisk(objects, 'b1', disk)
  })

  const run = (...words: string[]) => {
    try {
      return execFileSync(process.execPath, [pathOf('restore.mjs'), ...words], { encoding: 'utf8', stdio: 'pipe' })
    } catch (error) {
      return (error as { stderr: string }).stderr
    }
  }
  const identities = (...lines: string[]) => {
    const path = join(folder, 'identity.txt')
    writeFileSync(path, `# created: 2026-11-30T04:05:00Z\n${lines.join('\n')}\n`)
    return path
  }

  test('lists backups without a key, and restores a disk with an identity of age', async () => {
    const [path] = run().trim().split('\n')
    expect(path).toBe(pathOf(keyOfManifest(manifest)))
    expect(run(path!, 'vda', join(folder, 'none.raw'))).toMatch(/^The store is encrypted: give a file of identities/)
    const stranger = await makeIdentity()
    const file = identities(stranger.identity, `# public key: ${mine.recipient}`, mine.identity)
    expect(run('-i', file, path!)).toContain('vda')
    const out = join(folder, 'disk.raw')
    expect(run('-i', file, path!, 'vda', out)).toContain('bytes in')
    const whole = Buffer.concat(disk.map((chunk) => chunk ?? Buffer.alloc(chunkBytes)))
    expect(readFileSync(out).equals(whole)).toBe(true)
  })

  test('says which of identity, key file, manifest and chunk is wrong', async () => {
    const path = pathOf(keyOfManifest(manifest))
    const file = identities(mine.identity)
    const { identity } = await makeIdentity()
    expect(run('-i', identities(identity), path)).toMatch(/^The key file is encrypted for other recipients/)
    const mistyped = mine.identity.replace(/.$/, (last) => (last === 'Q' ? 'P' : 'Q'))
    expect(run('-i', identities(mistyped), path)).toMatch(/^The identity is mistyped/)
    expect(run('-i', identities('nothing'), path)).toMatch(/no line that begins with AGE-SECRET-KEY-1/)
    identities(mine.identity)
    flip(pathOf(keyFileKey), -1)
    expect(run('-i', file, path)).toMatch(/^The key file is damaged/)
    await objects.put(keyFileKey, await wrapKey(randomBytes(32), [mine.recipient]))
    expect(run('-i', file, path)).toMatch(/^The key file has key \w+, but the store is encrypted with/)
    await objects.put(keyFileKey, await wrapKey(dataKey, [mine.recipient]))
    for (const pack of packs()) flip(pack, 100)
    expect(run('-i', file, path, 'vda', join(folder, 'a.raw'))).toMatch(
      /is missing or damaged: the disk cannot be rest/,
    )
    flip(path, 100)
    expect(run('-i', file, path)).toMatch(/is damaged, or was moved/)
  })
})
