import { mkdir, mkdtemp, open, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Backup, backups } from '#shared/contracts/storage/backups.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { missingForHosts } from '../../lab/hosts/hosts.ts'
import { labHosts } from '../../lab/hosts/lab.ts'
import { type Product, startProduct } from '../../lab/product/product.ts'
import { done } from '../../lab/product/run-operation.ts'
import { available } from '../../lab/requirements.ts'
import { makeDisk, makeExt4, makeTree, randomFile } from '../../lab/storage/file-systems.ts'
import { folderOf } from '../../lab/storage/folder-of.ts'
import { until } from '../../lab/wait.ts'

const MiB = 2 ** 20
const local = localHost()
const run = (program: string, ...words: string[]) => local.runChecked(program, words)

describe.skipIf(!available('libvirt', await missingForHosts()))('the files of a backup', () => {
  let product: Product
  let folder: string
  let store: string
  let id: string
  let tries = 0

  /** A VM that is off, with: an ext4 and a VFAT in partitions, an XFS, and an ext4 that is damaged. */
  beforeAll(async () => {
    const [lab] = labHosts
    folder = await mkdtemp(join(tmpdir(), 'horcrux-backup-files-'))
    product = await startProduct([lab!])
    store = folderOf(await product.horcrux.call(pools, 'create', { id: 'store', type: 'dir' }))
    const path = '/var/lib/libvirt/images/pool'
    await product.horcrux.call(pools, 'create', { id: 'images', type: 'dir', node: 'hv1', path })
    const vm = `files-${process.pid}-${++tries}`
    const disks = Array.from({ length: 3 }, () => ({ pool: 'images', size: 1024 * MiB, format: 'raw' as const }))
    await done(product.horcrux, vms, 'create', { id: vm, name: vm, memory: 128, cpus: 1, node: 'hv1', disks })

    const at = (name: string) => join(folder, name)
    await makeTree(at('tree'))
    await makeExt4(at('ext4'), 256, at('tree'))
    await writeFile(at('vfat'), '')
    await truncate(at('vfat'), 16 * MiB)
    await run('busybox', 'mkdosfs', '-n', 'EFI', at('vfat'))
    await makeDisk(at('disk-0'), 320, [
      { image: at('ext4'), type: 0x83 },
      { image: at('vfat'), type: 0x0c },
    ])
    await writeFile(at('note'), 'from XFS\n')
    await writeFile(at('proto'), `/dev/null\n0 0\nd--755 0 0\nnote ---644 0 0 ${at('note')}\n$\n`)
    await writeFile(at('disk-1'), '')
    await truncate(at('disk-1'), 304 * MiB)
    await run('mkfs.xfs', '-q', '-p', at('proto'), at('disk-1'))
    await makeExt4(at('disk-2'), 64, at('tree/etc'))
    // Its descriptors of groups, behind the superblock.
    const damaged = await open(at('disk-2'), 'r+')
    await damaged.write(Buffer.alloc(16_384, 0xff), 0, 16_384, 2048)
    await damaged.close()
    for (const index of [0, 1, 2]) {
      const target = join(lab!.dir, `pool/${vm}-disk-${index}.raw`)
      await run('qemu-img', 'convert', '-n', '-f', 'raw', '-O', 'raw', at(`disk-${index}`), target)
    }
    ;({ id } = (await done(product.horcrux, backups, 'create', { vm_id: vm, pool: 'store' })) as Backup)
  })
  afterAll(async () => {
    await product?.stop()
    await rm(folder, { recursive: true, force: true })
  })

  const get = (path: string, more: RequestInit = {}) =>
    fetch(`${product.url}/api/backups/${id}/files${path}`, {
      headers: { authorization: `Bearer ${product.token}` },
      ...more,
    })
  type Entry = { name: string; path: string; kind: string; size_bytes: number; target: string | null }
  const list = async (volume: string, path: string, more = '') => {
    const answer = await get(`/${volume}?path=${encodeURIComponent(path)}&timeout=120${more}`)
    return {
      status: answer.status,
      ...((await answer.json()) as { data: Entry[]; next_cursor: string; message: string }),
    }
  }
  const download = (volume: string, path: string, format = 'tar', more: RequestInit = {}) =>
    get(`/${volume}/download?format=${format}&path=${encodeURIComponent(path)}`, more)
  const guests = async () => {
    const { stdout } = await local.run('pgrep', ['-f', `qemu-system.*horcrux-files-${process.pid}-`])
    return stdout.split('\n').filter(Boolean).length
  }

  test('are listed by volume and folder, whatever their names are, and no link is followed', async () => {
    const answer = await get('?timeout=120')
    const { volumes, message } = (await answer.json()) as { volumes: { id: string }[]; message?: string }
    expect([answer.status, message]).toEqual([200, undefined])
    expect(volumes).toMatchObject([
      { id: 'vda1', disk: 'vda', partition: 1, type: 'ext4', size_bytes: 256 * MiB, readable: true },
      { id: 'vda2', partition: 2, type: 'vfat', label: 'EFI', readable: true },
      { id: 'vdb', partition: null, type: 'xfs', readable: true },
      { id: 'vdc', type: 'ext4', readable: true },
    ])
    expect((await list('vdb', '/')).data).toMatchObject([{ name: 'note', kind: 'file', size_bytes: 9 }])
    expect((await list('vda2', '/')).data).toEqual([])
    const home = await list('vda1', '/home')
    expect(home.data.map(({ path, kind }) => [path, kind])).toEqual([
      ['/home/-rf', 'file'],
      ['/home/100%25', 'file'],
      ['/home/caf%E9', 'file'],
      ['/home/empty', 'folder'],
      ['/home/holes', 'file'],
      ['/home/rand', 'file'],
      ['/home/root', 'link'],
      ['/home/shadow', 'link'],
      ['/home/two%0Alines', 'file'],
      ['/home/up', 'link'],
    ])
    expect(home.data.find(({ name }) => name === 'shadow')?.target).toBe('/etc/shadow')
    const first = await list('vda1', '/home', '&limit=6')
    const second = await list('vda1', '/home', `&limit=6&cursor=${first.next_cursor}`)
    expect([...first.data, ...second.data]).toEqual(home.data)
    expect(second.next_cursor).toBeNull()

    expect(await list('vda1', '/home/root/etc')).toMatchObject({
      status: 409,
      message: expect.stringContaining('link'),
    })
    expect(await list('vda1', '/home/up')).toMatchObject({ status: 409 })
    expect(await list('vda1', '/home/none')).toMatchObject({ status: 404 })
    expect(await list('vda1', '/etc/passwd/x')).toMatchObject({ status: 404 })
    expect(await list('vda1', '/home/../etc')).toMatchObject({ status: 422 })
    expect(await list('vda1', 'etc')).toMatchObject({ status: 422 })
    expect(await list('vdz', '/')).toMatchObject({ status: 404 })
    const damaged = await list('vdc', '/')
    expect([damaged.status, damaged.message]).toEqual([409, expect.stringContaining('cannot be opened')])
    expect(await guests()).toBe(1)
  })

  test('are downloaded as an archive that has holes and odd names, and the audit has who took it', async () => {
    const answer = await download('vda1', '/')
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toBe('application/x-tar')
    const bytes = Buffer.from(await answer.arrayBuffer())
    expect(bytes.length).toBeLessThan(16 * MiB)
    await writeFile(join(folder, 'all.tar'), bytes)
    const unpacked = join(folder, `unpacked-${++tries}`)
    await mkdir(unpacked)
    await run('tar', '-xf', join(folder, 'all.tar'), '-C', unpacked)
    await rm(join(unpacked, 'lost+found'), { recursive: true })
    await run('diff', '-r', '--no-dereference', join(folder, 'tree'), unpacked)
    const { body } = await product.ask('GET /api/audit/events?limit=10&kind=backup_files_downloaded')
    expect(body['data']).toContainEqual(
      expect.objectContaining({
        path: `/api/backups/${id}`,
        message: 'vda1:/ as tar',
        action: 'backup-files.download',
      }),
    )
    await until(async () => (await guests()) <= 1, { what: 'the guest of the download has ended' })
  })

  test('are one by one as they are, and a client that leaves ends its guest', async () => {
    const answer = await download('vda1', '/home/caf%E9', 'raw')
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'content-length': '7',
      'content-disposition': 'attachment; filename="caf_"',
    })
    expect(await answer.text()).toBe('Latin-1')
    const leaving = new AbortController()
    const { body } = await download('vda1', '/home/holes', 'raw', { signal: leaving.signal })
    await body!.getReader().read()
    leaving.abort()
    await until(async () => (await guests()) <= 1, { what: 'the guests of downloads have ended' })
  })

  /** Damages the chunk that has a piece of `rand`, which is found in a pack since it cannot be compressed. */
  async function damage(offset: number): Promise<void> {
    const packs = join(store, 'objects/backups/packs')
    let found = 0
    for (const name of await readdir(packs, { recursive: true })) {
      if (name.length < 60) continue
      const at = (await readFile(join(packs, name))).indexOf(randomFile.subarray(offset, offset + 64))
      if (at < 0) continue
      found++
      const pack = await open(join(packs, name), 'r+')
      await pack.write(Buffer.alloc(64), 0, 64, at)
      await pack.close()
    }
    expect(found).toBe(1)
  }

  test('that are damaged in the store are never whole in an answer', async () => {
    await damage(6 * MiB)
    const archive = await download('vda1', '/home')
    expect(archive.status).toBe(200)
    await expect(archive.arrayBuffer()).rejects.toThrow()

    await damage(100_000)
    const raw = await download('vda1', '/home/rand', 'raw')
    expect([raw.status, ((await raw.json()) as { message: string }).message]).toEqual([
      409,
      expect.stringContaining('The backup is damaged'),
    ])
  })
})
