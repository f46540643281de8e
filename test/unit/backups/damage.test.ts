import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { checkData, checkStructure } from '../../../services/storage/backups/proof/check.ts'
import { noLedger, writeLedger } from '../../../services/storage/backups/proof/ledger.ts'
import { encryptionWith } from '../../../services/storage/backups/store/encryption.ts'
import { keyOfManifest, type VmManifest } from '../../../services/storage/backups/store/manifest.ts'
import { encryptedObjects, type Objects, objectsOf } from '../../../services/storage/backups/store/objects.ts'
import { sha256 } from '../../../services/storage/backups/store/pack.ts'
import { prepareStore, putKeyFile } from '../../../services/storage/backups/store/store.ts'
import { dir } from '../../../services/storage/drivers/dir/dir.ts'
import { sample, seedOf } from '../../lab/faults/seed.ts'
import { type Disk, loadDisk, saveDisk } from './disks.ts'

const seed = seedOf('damage-of-backup-stores')
let folder: string
let stored: Objects
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'backup-damage-'))
  stored = objectsOf(dir.objects!, localHost(), { node: 'local', path: folder })
})
afterEach(() => rm(folder, { recursive: true }))

const working = { signal: new AbortController().signal, onProgress: () => undefined }
const root = () => join(folder, 'objects/backups')
const files = () =>
  readdirSync(root(), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted()

type Damage = { what: string; make: (path: string, bytes: Buffer) => void }
const damages: Damage[] = [
  { what: 'is gone', make: (path) => rmSync(path) },
  { what: 'is cut off', make: (path, bytes) => writeFileSync(path, bytes.subarray(0, bytes.length / 2)) },
  { what: 'is empty', make: (path) => writeFileSync(path, '') },
  ...[0.02, 0.4, 0.98].map((at) => ({
    what: `has another byte at ${at} of its length`,
    make: (path: string, bytes: Buffer) => {
      const changed = Buffer.from(bytes)
      changed[Math.floor(at * bytes.length)]! ^= 0x41
      writeFileSync(path, changed)
    },
  })),
]

describe.each([{ kind: 'bare' }, { kind: 'encrypted' }])('a backup store that is $kind', ({ kind }) => {
  let objects: Objects
  beforeEach(() => {
    objects = kind === 'bare' ? stored : encryptedObjects(stored, encryptionWith(randomBytes(32)))
  })

  /** The damage of a backup, as a verification finds it. */
  async function verify(manifest: VmManifest, written: string): Promise<string | null> {
    const { error, chunks, catalog } = await checkStructure(objects, keyOfManifest(manifest), written)
    return error ?? checkData(objects, catalog, chunks, working)
  }

  test('with any one file damaged gives back the right bytes, or its verification names the damage', async () => {
    await prepareStore(objects)
    await putKeyFile(objects, Buffer.from('key file'))
    const [a, b, c] = [randomBytes(400), randomBytes(400), Buffer.alloc(4000, 'text ')]
    const disks: Disk[] = [
      [a, null, b],
      [b, c],
    ]
    const made: { manifest: VmManifest; disk: Disk; written: string }[] = []
    for (const [index, disk] of disks.entries()) {
      const manifest = await saveDisk(objects, `b${index}`, disk, 300)
      made.push({ manifest, disk, written: sha256(await objects.get(keyOfManifest(manifest))) })
    }
    await writeLedger(objects, noLedger())
    let harmful = 0
    const read = files().filter((path) => !/\.(mjs|txt)$/.test(path))
    for (const [number, path] of read.entries()) {
      const bytes = readFileSync(path)
      for (const { what, make } of sample(damages, seed + number, 1)) {
        make(path, bytes)
        for (const { manifest, disk, written } of made) {
          const said = `${relative(root(), path)} ${what}`
          const loaded = await loadDisk(objects, manifest).catch((error: Error) => error)
          const found = await verify(manifest, written)
          if (found === null) expect(loaded, said).toEqual(disk)
          else {
            harmful++
            expect(found, said).toMatch(/manifest|chunks|cannot be decrypted|cut off|disk/)
          }
        }
        writeFileSync(path, bytes)
        for (const { key } of await stored.list('damaged/')) await stored.remove(key)
      }
    }
    // Every damage of a manifest is one of its backup.
    expect(harmful).toBeGreaterThanOrEqual(made.length)
  }, 600_000)
})
