import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { readCatalog } from '../../../services/storage/backups/store/catalog.ts'
import { chunkBytes } from '../../../services/storage/backups/store/chunks.ts'
import { collect } from '../../../services/storage/backups/store/collect.ts'
import { encryptionWith } from '../../../services/storage/backups/store/encryption.ts'
import { keyOfManifest, type VmManifest, readManifest } from '../../../services/storage/backups/store/manifest.ts'
import { encryptedObjects, type Objects, objectsOf } from '../../../services/storage/backups/store/objects.ts'
import { prepareStore } from '../../../services/storage/backups/store/store.ts'
import { dir } from '../../../services/storage/drivers/dir/dir.ts'
import { type Disk, flip, loadDisk, saveDisk } from './disks.ts'

let folder: string
let stored: Objects
let objects: Objects
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'backup-store-'))
  stored = objectsOf(dir.objects!, localHost(), { node: 'local', path: folder })
  objects = stored
})
afterEach(() => rm(folder, { recursive: true }))

const working = { signal: new AbortController().signal, onProgress: () => undefined }
const save = (id: string, disk: Disk, packBytes?: number) => saveDisk(objects, id, disk, packBytes)
const load = (manifest: VmManifest) => loadDisk(objects, manifest)

const remove = ({ id, vm_id, taken_at }: VmManifest) => objects.remove(keyOfManifest({ id, vm_id, taken_at }))
const packsNow = async () => (await objects.list('packs/')).map(({ key }) => key).toSorted()
const pathOf = (key: string) => join(folder, 'objects/backups', key)

const kinds = [
  { kind: 'a backup store', encrypts: false },
  { kind: 'an encrypted backup store', encrypts: true },
]
describe.each(kinds)('$kind', ({ encrypts }) => {
  beforeEach(() => {
    if (encrypts) objects = encryptedObjects(stored, encryptionWith(randomBytes(32)))
  })

  test('gives back the bytes of every backup, in whatever order others are deleted and garbage is collected', async () => {
    const parts = Array.from({ length: 6 }, (_, index) => Buffer.concat([Buffer.from([index]), randomBytes(300)]))
    const disks = fc.array(fc.option(fc.nat(5)), { minLength: 1, maxLength: 8 })
    await fc.assert(
      fc.asyncProperty(fc.array(disks, { minLength: 1, maxLength: 4 }), fc.nat(), async (all, seed) => {
        rmSync(join(folder, 'objects'), { recursive: true, force: true })
        const made: { manifest: VmManifest; disk: Disk }[] = []
        for (const [index, disk] of all.entries()) {
          const content = disk.map((part) => (part === null ? null : parts[part]!))
          made.push({ manifest: await save(`b${index}`, content), disk: content })
        }
        for (let step = seed; made.length > 0; step = Math.floor(step / 7)) {
          const [gone] = made.splice(step % made.length, 1)
          await remove(gone!.manifest)
          await collect(objects, working)
          for (const { manifest, disk } of made) expect(await load(manifest)).toEqual(disk)
        }
        expect(await packsNow()).toEqual([])
        expect(await objects.list('index/')).toEqual([])
      }),
      { numRuns: encrypts ? 2 : 4 },
    )
  })

  test('stores a chunk once, and writes packs that are mostly unneeded anew', async () => {
    const [a, b, c] = [randomBytes(500), randomBytes(500), randomBytes(500)]
    const first = await save('b1', [a, null, b, a], 10_000)
    const second = await save('b2', [b, c, null], 10_000)
    expect(await packsNow()).toHaveLength(2)
    await remove(first)
    expect(await collect(objects, working)).toMatchObject({ removed_packs: 0, rewritten_packs: 1 })
    expect(await load(second)).toEqual([b, c, null])
    expect(await collect(objects, working)).toMatchObject({ removed_packs: 0, rewritten_packs: 0, freed_bytes: 0 })
  })

  test('does without its indexes, and stores chunks of a lost pack again', async () => {
    const disk = [randomBytes(700), randomBytes(700)]
    const first = await save('b1', disk, 500)
    for (const { key } of await objects.list('index/')) flip(pathOf(key), 3)
    expect((await readCatalog(objects)).damaged).toHaveLength(1)
    await collect(objects, working)
    expect(await load(first)).toEqual(disk)
    const [pack] = await packsNow()
    truncateSync(pathOf(pack!), 100)
    await expect(load(first)).rejects.toThrow('is in no pack')
    await save('b2', disk, 500)
    expect(await load(first)).toEqual(disk)
  })
})

describe('a backup store', () => {
  test('reports a manifest and a chunk that have changed', async () => {
    const first = await save('b1', [randomBytes(700)])
    const [pack] = await packsNow()
    flip(pathOf(pack!), 20)
    await expect(load(first)).rejects.toThrow(/decompressed|is not/)
    const key = keyOfManifest(first)
    writeFileSync(pathOf(key), readFileSync(pathOf(key), 'utf8').replace(/"digest": "./, '"digest": "_'))
    await expect(readManifest(objects, key)).rejects.toThrow('none of format 1')
  })

  test('is restored by the script that lies in it, with holes, and without Horcrux', async () => {
    await prepareStore(objects)
    const disk = [null, randomBytes(chunkBytes), null, Buffer.alloc(chunkBytes, 'text '), null]
    const manifest = await save('b1', disk)
    const script = pathOf('restore.mjs')
    const run = (...words: string[]) => execFileSync(process.execPath, [script, ...words], { encoding: 'utf8' })
    const [path] = run().trim().split('\n')
    expect(path).toBe(pathOf(keyOfManifest(manifest)))
    expect(run(path!)).toContain('vda')
    const out = join(folder, 'disk.raw')
    run(path!, 'vda', out)
    const whole = Buffer.concat(disk.map((chunk) => chunk ?? Buffer.alloc(chunkBytes)))
    expect(readFileSync(out).equals(whole)).toBe(true)
    const [blocks] = execFileSync('stat', ['-c', '%b', out], { encoding: 'utf8' }).split('\n')
    expect(Number(blocks) * 512).toBeLessThan(3 * chunkBytes)
    for (const [pack] of readdirSync(pathOf('packs')).map((each) => readdirSync(pathOf(`packs/${each}`))))
      expect(pack).toMatch(/^[0-9a-f]{64}$/)
  })

  test('has a script that says which Node.js it needs, if that which runs it has no zstd', async () => {
    await prepareStore(objects)
    // A Node.js before 22.15 has the module, without this function.
    const older = 'data:text/javascript,import zlib from "node:zlib"; delete zlib.zstdDecompressSync'
    const words = ['--import', older, pathOf('restore.mjs')]
    expect(() => execFileSync(process.execPath, words, { encoding: 'utf8', stdio: 'pipe' })).toThrow(
      /has no zstd: use 22\.15, 23\.8 or newer/,
    )
  })
})
