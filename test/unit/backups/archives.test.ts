import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import fc from 'fast-check'
import { pack } from 'tar-stream'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { SavedContainer } from '#shared/contracts/container/saved-container.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { BrokenTarError, readTar, type TarEntry } from '#shared/tar/read-tar.ts'
import { placesOf } from '../../../services/container/backups/describe.ts'
import { newVolumeName } from '../../../services/container/backups/volumes.ts'
import { rootOf } from '../../../services/container/drivers/lxd/root-files.ts'
import { saveArchive } from '../../../services/storage/backups/containers/save-archive.ts'
import { missingEnv, withoutSecrets } from '../../../services/storage/backups/containers/secrets.ts'
import { neededChunks } from '../../../services/storage/backups/store/collect.ts'
import { cut, gearOf } from '../../../services/storage/backups/store/cut.ts'
import { encryptionWith, unencrypted } from '../../../services/storage/backups/store/encryption.ts'
import {
  type ContainerManifest,
  keyOfManifest,
  readManifest,
  writeManifest,
} from '../../../services/storage/backups/store/manifest.ts'
import { encryptedObjects, type Objects, objectsOf } from '../../../services/storage/backups/store/objects.ts'
import { DamagedPack } from '../../../services/storage/backups/store/pack.ts'
import { prepareStore } from '../../../services/storage/backups/store/store.ts'
import { dir } from '../../../services/storage/drivers/dir/dir.ts'
import { openArchives } from '../../../services/storage/files/archives.ts'
import { namesIn } from '../../../services/storage/files/paths.ts'

type Made = { name: string; type?: 'file' | 'directory' | 'symlink' | 'link'; linkname?: string; content?: Buffer }

/** A tar archive, as another tool writes it. */
async function tarOf(entries: readonly Made[]): Promise<Buffer> {
  const archive = pack()
  for (const { name, type = 'file', linkname, content = Buffer.alloc(0) } of entries) {
    const header = {
      name,
      type,
      mtime: new Date(1_000_000),
      uid: 7,
      gid: 8,
      mode: 0o640,
      ...(linkname && { linkname }),
    }
    archive.entry(header, type === 'file' ? content : Buffer.alloc(0))
  }
  archive.finalize()
  return buffer(archive)
}

/** Bytes in pieces of another length each time. */
async function* pieces(bytes: Buffer, seed = 1): AsyncGenerator<Buffer> {
  for (let at = 0, size = seed; at < bytes.length; at += size) {
    size = ((size * 7919) % 70_000) + 1
    yield bytes.subarray(at, at + size)
  }
}

async function entriesIn(source: AsyncIterable<Buffer>): Promise<{ entry: TarEntry; content: Buffer }[]> {
  const found: { entry: TarEntry; parts: Buffer[] }[] = []
  for await (const part of readTar(source))
    if (part.kind === 'entry') found.push({ entry: part.entry, parts: [] })
    else found.at(-1)!.parts.push(part.bytes)
  return found.map(({ entry, parts }) => ({ entry, content: Buffer.concat(parts).subarray(0, entry.size) }))
}

const long = `${'folder/'.repeat(30)}${'n'.repeat(90)} ü`

test('an archive of another tool is read: long names, links, folders and contents', async () => {
  const content = randomBytes(5000)
  const bytes = await tarOf([
    { name: 'etc', type: 'directory' },
    { name: long, content },
    { name: 'hard', type: 'link', linkname: long },
    { name: 'soft', type: 'symlink', linkname: '../etc' },
  ])
  const found = await entriesIn(pieces(bytes))
  expect(found.map(({ entry: { path, type, target } }) => [path.toString(), type, target.toString()])).toEqual([
    ['etc', '5', ''],
    [long, '0', ''],
    ['hard', '1', long],
    ['soft', '2', '../etc'],
  ])
  expect(found[1]!.content.equals(content)).toBe(true)
  expect(found[0]!.entry).toMatchObject({ uid: 7, gid: 8, mode: 0o640, mtimeSeconds: 1000 })
})

test('an archive that breaks off anywhere is never whole', async () => {
  const bytes = await tarOf([{ name: 'a', content: randomBytes(2000) }, { name: 'b' }])
  await fc.assert(
    fc.asyncProperty(fc.nat(bytes.length - 513), async (length) => {
      await expect(entriesIn(pieces(bytes.subarray(0, length)))).rejects.toThrow(BrokenTarError)
    }),
    { numRuns: 50 },
  )
})

test('the root file system is taken out of a backup in the form of an engine', async () => {
  const root = 'backup/container/rootfs'
  const content = Buffer.from('text')
  const bytes = await tarOf([
    { name: 'backup/index.yaml', content: Buffer.from('times') },
    { name: root, type: 'directory' },
    { name: `${root}/${long}`, content },
    { name: `${root}/hard`, type: 'link', linkname: `${root}/${long}` },
    { name: `${root}/soft`, type: 'symlink', linkname: `${root}/x` },
    { name: 'backup/container/metadata.yaml', content },
  ])
  const maps = [{ Isuid: true, Isgid: true, Hostid: 5, Nsid: 0, Maprange: 3 }]
  const found = await entriesIn(rootOf(pieces(bytes), maps))
  expect(found[1]!.entry).toMatchObject({ uid: 2, gid: 8 })
  expect(found.map(({ entry: { path, target } }) => [path.toString(), target.toString()])).toEqual([
    ['./', ''],
    [long, ''],
    ['hard', long],
    ['soft', `${root}/x`],
  ])
  expect(found[1]!.content.equals(content)).toBe(true)
})

describe('a stream that is cut by its content', () => {
  const chunksOf = async (bytes: Buffer, gear: Uint32Array, seed?: number) => {
    const chunks: Buffer[] = []
    for await (const chunk of cut(pieces(bytes, seed), gear)) chunks.push(chunk)
    return chunks
  }

  test('is whole, its cuts do not depend on its pieces, and bytes that are added move those near them only', async () => {
    const gear = await gearOf(unencrypted)
    const bytes = randomBytes(12 * 2 ** 20)
    const chunks = await chunksOf(bytes, gear)
    expect(Buffer.concat(chunks).equals(bytes)).toBe(true)
    expect((await chunksOf(bytes, gear, 9)).map(({ length }) => length)).toEqual(chunks.map(({ length }) => length))
    const more = Buffer.concat([bytes.subarray(0, 6 * 2 ** 20), Buffer.from('more'), bytes.subarray(6 * 2 ** 20)])
    const known = new Set(chunks.map((chunk) => chunk.toString('latin1')))
    const fresh = (await chunksOf(more, gear)).filter((chunk) => !known.has(chunk.toString('latin1')))
    expect(fresh.length).toBeLessThanOrEqual(3)
  })

  test('has other cuts with another key', async () => {
    const bytes = randomBytes(8 * 2 ** 20)
    const lengths = async (key: number) =>
      (await chunksOf(bytes, await gearOf(encryptionWith(Buffer.alloc(32, key))))).map(({ length }) => length)
    expect(await lengths(1)).toEqual(await lengths(1))
    expect(await lengths(1)).not.toEqual(await lengths(2))
  })
})

const container: SavedContainer = {
  id: 'web',
  name: 'web',
  node: 'local',
  runtime: 'docker',
  image: 'tiny',
  settings: null,
  command: ['init'],
  env: { TOKEN: 'kirsche' },
  env_names: ['TOKEN'],
  labels: {},
  memory: null,
  cpus: null,
  pids: null,
  mounts: [],
  ports: [],
  networks: [],
  restart_policy: 'no',
  health_check: null,
  privileged: false,
  status: 'running',
}

test('without its secrets, a container has the names of its variables', () => {
  const bare = withoutSecrets(container)
  expect(JSON.stringify(bare)).not.toContain('kirsche')
  expect(missingEnv(bare)).toEqual(['TOKEN'])
  expect(missingEnv(container)).toEqual([])
})

test('mounts are volumes that are saved, and folders that are left out with the reason', () => {
  const mounts = [
    { type: 'volume', source: 'data', target: '/data', read_only: false },
    { type: 'bind', source: '/srv', target: '/srv', read_only: true },
    { type: 'tmpfs', source: null, target: '/run', read_only: false },
  ]
  const { places, left_out } = placesOf(mounts, true)
  expect(places.map(({ id, volume }) => `${id} ${volume}`)).toEqual(['root null', 'volume-1 data'])
  expect(left_out.map(({ target }) => target)).toEqual(['/run', '/srv'])
  expect(placesOf(mounts, false).left_out.map(({ target }) => target)).toEqual(['/data', '/run', '/srv'])
  const name = newVolumeName('data', 'one')
  expect(name).toMatch(/^data-r[0-9a-f]{8}$/)
  expect(newVolumeName(name, 'two')).toMatch(/^data-r[0-9a-f]{8}$/)
  expect(newVolumeName('data', 'two')).not.toBe(name)
})

describe.each([{ encrypts: false }, { encrypts: true }])(
  'an archive in a store, encrypted: $encrypts',
  ({ encrypts }) => {
    let folder: string
    let objects: Objects
    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), 'backup-archive-'))
      const stored = objectsOf(dir.objects!, localHost(), { node: 'local', path: folder })
      objects = encrypts ? encryptedObjects(stored, encryptionWith(Buffer.alloc(32, 1))) : stored
      await prepareStore(objects)
    })
    afterEach(() => rm(folder, { recursive: true }))

    const saving = { signal: new AbortController().signal, pace: async () => undefined, onProgress: () => undefined }
    const save = async (bytes: Buffer) => {
      const {
        new_bytes,
        stored_bytes: _,
        healed_chunks: _h,
        ...saved
      } = await saveArchive(objects, pieces(bytes), saving)
      const place = { id: 'root', target: '/', volume: null }
      const common = { format: 1, chunk_bytes: 4 * 2 ** 20, id: 'one', node: 'local', description: '' } as const
      const times = { taken_at: '2026-11-30T04:05:00.000Z', paused: false }
      const manifest: ContainerManifest = {
        ...common,
        ...times,
        kind: 'container',
        container,
        left_out: [],
        archives: [{ ...place, ...saved }],
      }
      const written = await writeManifest(objects, manifest)
      return { manifest, written, new_bytes }
    }
    const made = async () => {
      const [large, text] = [randomBytes(2 * 2 ** 20), Buffer.from('text')]
      const bytes = await tarOf([
        { name: './', type: 'directory' },
        { name: './etc/', type: 'directory' },
        { name: './etc/large', content: large },
        { name: './etc/text', content: text },
        { name: './srv/', type: 'directory' },
        { name: './srv/hard', type: 'link', linkname: './etc/text' },
        { name: './srv/soft', type: 'symlink', linkname: '../etc' },
      ])
      return { bytes, large, ...(await save(bytes)) }
    }

    test('is stored once, is needed whole, and its files are listed and read', async () => {
      const { bytes, large, manifest, written } = await made()
      expect((await save(bytes)).new_bytes).toBe(0)
      const read = await readManifest(objects, keyOfManifest(manifest), written)
      expect(read).toEqual(manifest)
      const { chunks, index_chunks } = manifest.archives[0]!
      expect([...(await neededChunks(objects))].toSorted()).toEqual(
        [...new Set([...chunks, ...index_chunks])].toSorted(),
      )
      const files = await openArchives(objects, manifest)
      const listed = await files.list('root', namesIn('/etc'))
      expect(listed.map(({ name, kind, size_bytes }) => [name, kind, size_bytes])).toEqual([
        ['large', 'file', large.length],
        ['text', 'file', 4],
      ])
      expect((await buffer(Readable.from(files.content('root', namesIn('/etc/large'))))).equals(large)).toBe(true)
      expect(String(await buffer(Readable.from(files.content('root', namesIn('/srv/hard')))))).toBe('text')
      // A hard link whose first name is outside of the folder is a file of its own.
      const below = await entriesIn(files.archive('root', namesIn('/srv')))
      expect(below.map(({ entry: { path, type }, content }) => [path.toString(), type, content.toString()])).toEqual([
        ['./srv/', '5', ''],
        ['./srv/hard', '0', 'text'],
        ['./srv/soft', '2', ''],
      ])
      await files.close()
    })

    test.skipIf(encrypts)('is written by the program in the store, without Horcrux', async () => {
      const { bytes, manifest } = await made()
      const own = join(folder, 'objects/backups')
      const target = join(folder, 'root.tar')
      const words = [join(own, 'restore.mjs'), join(own, keyOfManifest(manifest)), 'root', target]
      expect(execFileSync(process.execPath, words).toString()).toContain('root of web')
      expect(readFileSync(target).subarray(0, bytes.length).equals(bytes)).toBe(true)
    })

    test('whose manifest has another list of chunks is refused', async () => {
      const { manifest } = await made()
      const [archive] = manifest.archives
      await writeManifest(objects, { ...manifest, archives: [{ ...archive!, chunks: archive!.chunks.slice(1) }] })
      await expect(readManifest(objects, keyOfManifest(manifest))).rejects.toThrow(DamagedPack)
    })
  },
)
