import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { pools } from '#shared/contracts/storage/pools.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { snapshots } from '#shared/contracts/vm/snapshots.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { startCutter } from '../../lab/faults/cutter.ts'
import { imagesOf } from '../../lab/guests/disks.ts'
import { missingForHosts } from '../../lab/hosts/hosts.ts'
import { labHosts } from '../../lab/hosts/lab.ts'
import { type Product, startProduct } from '../../lab/product/product.ts'
import { done } from '../../lab/product/run-operation.ts'
import { repository } from '../../lab/repository.ts'
import { available } from '../../lab/requirements.ts'
import { folderOf } from '../../lab/storage/folder-of.ts'
import { until } from '../../lab/wait.ts'

const MiB = 2 ** 20
const GiB = 2 ** 30
const there = '/var/lib/libvirt/images/pool'
const local = localHost()

describe.skipIf(!available('libvirt', await missingForHosts()))('a download of a volume', () => {
  let product: Product
  let images: ReturnType<typeof imagesOf>
  let folder: string
  let count = 0
  let guest: string
  /** The content of the volumes `small`, with a hole, and a size that is no multiple of a cluster. */
  const content = Buffer.concat([randomBytes(MiB), Buffer.alloc(3 * MiB), randomBytes(MiB + 512)])

  beforeAll(async () => {
    const [lab] = labHosts
    folder = await mkdtemp(join(tmpdir(), 'horcrux-downloads-'))
    product = await startProduct([lab!])
    images = imagesOf(lab!)
    const here = folderOf(await product.horcrux.call(pools, 'create', { id: 'here', type: 'dir' }))
    await product.horcrux.call(pools, 'create', { id: 'there', type: 'dir', node: 'hv1', path: there })
    await writeFile(join(folder, 'content'), content)
    const convert = ['convert', '-f', 'raw', '-O', 'qcow2', join(folder, 'content'), join(folder, 'content.qcow2')]
    await local.runChecked('qemu-img', convert)
    const image = await readFile(join(folder, 'content.qcow2'))
    await writeFile(join(here, 'small.qcow2'), image)
    await images.host.writeFile(join(there, 'small.qcow2'), image)
    for (const id of ['here', 'there']) await done(product.horcrux, volumes, 'scan', { id })
  })
  afterAll(async () => {
    await product?.stop()
    await rm(folder, { recursive: true, force: true })
  })

  const at = (pool: string, volume: string, query = '') =>
    `${product.url}/api/storage/pools/${pool}/volumes/${volume}/download${query}`
  const get = (url: string, headers: Record<string, string> = {}, more: RequestInit = {}) =>
    fetch(url, { headers: { authorization: `Bearer ${product.token}`, ...headers }, ...more })
  const bytesOf = async (answer: Response) => Buffer.from(await answer.arrayBuffer())
  /** The processes that have an image open, on its node. */
  const readers = (name: string) => images.processes(`qemu-nbd.*${name}`)
  const none = (name: string) => until(async () => (await readers(name)).length === 0, { what: `no reader of ${name}` })

  test.each(['here', 'there'])(
    'from the node of pool %s is the disk as raw, and an image of it as qcow2',
    async (id) => {
      const raw = await get(at(id, 'small'))
      expect(raw.status).toBe(200)
      expect(Object.fromEntries(raw.headers)).toMatchObject({
        'content-type': 'application/octet-stream',
        'content-length': String(content.length),
        'content-disposition': 'attachment; filename="small.raw"',
        'accept-ranges': 'bytes',
      })
      expect((await bytesOf(raw)).equals(content)).toBe(true)

      const qcow2 = await get(at(id, 'small', '?format=qcow2'))
      const bytes = await bytesOf(qcow2)
      expect(qcow2.headers.get('accept-ranges')).toBe('none')
      expect(qcow2.headers.get('content-length')).toBe(String(bytes.length))
      expect(bytes.length).toBeLessThan(3 * MiB)
      const file = join(folder, `${id}.qcow2`)
      await writeFile(file, bytes)
      await local.runChecked('qemu-img', ['check', '-f', 'qcow2', file])
      await local.runChecked('qemu-img', ['compare', '-f', 'qcow2', '-F', 'raw', file, join(folder, 'content')])
      await none('small.qcow2')
    },
  )

  test('is answered in ranges, which end with the content that they began with', async () => {
    const part = async (range: string, more: Record<string, string> = {}) =>
      get(at('there', 'small'), { range, ...more })
    const head = await get(at('there', 'small'), {}, { method: 'HEAD' })
    const etag = head.headers.get('etag')!
    expect(head.headers.get('content-length')).toBe(String(content.length))
    expect(etag).toMatch(/^"[\w-]{27}"$/)
    const middle = await part('bytes=1048000-4200000', { 'if-range': etag })
    expect(middle.status).toBe(206)
    expect(middle.headers.get('content-range')).toBe(`bytes 1048000-4200000/${content.length}`)
    expect((await bytesOf(middle)).equals(content.subarray(1_048_000, 4_200_001))).toBe(true)
    expect((await bytesOf(await part('bytes=-700'))).equals(content.subarray(-700))).toBe(true)
    const other = await part('bytes=0-1', { 'if-range': '"another"' })
    expect([other.status, (await bytesOf(other)).length]).toEqual([200, content.length])

    const behind = await part(`bytes=${content.length}-`)
    expect(behind.status).toBe(416)
    expect(behind.headers.get('content-range')).toBe(`bytes */${content.length}`)
    expect(await behind.json()).toMatchObject({ status: 416, details: { size_bytes: content.length } })
    expect((await get(at('there', 'small'), { 'if-none-match': etag })).status).toBe(304)
    expect((await get(at('there', 'small'), { 'if-match': '"another"' })).status).toBe(412)
    expect((await get(at('there', 'small', '?format=vmdk'))).status).toBe(422)
    expect((await get(at('there', 'small', '?other=1'))).status).toBe(422)
    expect((await get(at('there', 'small', '?snapshot=none'))).status).toBe(404)
    expect((await get(at('there', 'none'))).status).toBe(404)
    await none('small.qcow2')
  })

  test('leaves no process behind when its client goes, and goes on with the command line', async () => {
    const name = `large-${++count}`
    const image = join(there, `${name}.raw`)
    await images.host.runChecked('truncate', ['-s', String(100 * MiB), image])
    await images.write(`${name}.raw`, 0xa1, 40, 40)
    await done(product.horcrux, volumes, 'scan', { id: 'there' })
    const leaving = new AbortController()
    const { body } = await get(at('there', name), {}, { signal: leaving.signal })
    await body!.getReader().read()
    expect(await readers(`${name}.raw`)).not.toEqual([])
    leaving.abort()
    await none(`${name}.raw`)

    const cutter = await startCutter(() => Number(new URL(product.url).port))
    try {
      const file = join(folder, `${name}.raw`)
      const words = [join(repository, 'cli/start.js'), 'cp', `there:${name}`, file, '--quiet']
      const env = { HORCRUX_URL: cutter.url, HORCRUX_TOKEN: product.token, HOME: folder }
      const copying = local.run(process.execPath, words, { env })
      const parts = async () => (await readdir(folder)).filter((name) => name.endsWith('.part'))
      const arrived = async () => {
        const [part] = await parts()
        return part === undefined ? 0 : (await stat(join(folder, part))).size
      }
      await until(async () => (await arrived()) > 0, { what: 'the first bytes' })
      cutter.cutAfter(20 * MiB)
      const { code, stdout, stderr } = await copying
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      expect(stdout).toContain('downloaded')
      expect(await parts()).toEqual([])
      const holds = async (byte: number, from: number, length: number) => {
        const read = `read -P ${byte} ${from * MiB} ${length * MiB}`
        const { stdout: said } = await local.run('qemu-io', ['-r', '-f', 'raw', '-c', read, file])
        return !said.includes('verification failed')
      }
      expect(await holds(0xa1, 40, 40)).toBe(true)
      expect(await holds(0, 0, 40)).toBe(true)
      expect(await holds(0, 80, 20)).toBe(true)
      expect((await stat(file)).size).toBe(100 * MiB)
      await none(`${name}.raw`)
    } finally {
      cutter.stop()
    }
  })

  test('of a VM takes a snapshot while it runs, and ends when the guest starts', async () => {
    guest = `guest-${++count}`
    const disks = [{ pool: 'there', size: GiB }]
    const given = { id: guest, name: guest, memory: 128, cpus: 1, node: 'hv1', disks }
    const vm = (await done(product.horcrux, vms, 'create', given)) as Vm
    const volume = vm.disks[0]!.volume!
    await images.write(`${volume}.qcow2`, 0xa1, 3, 2)
    const { id: snapshot } = (await done(product.horcrux, snapshots, 'create', { id: guest, name: 'one' })) as {
      id: string
    }

    // The client stops reading: its pieces wait, and the guest may start.
    const before = await get(at('there', volume))
    expect(before.status).toBe(200)
    const reader = before.body!.getReader()
    await reader.read()
    await done(product.horcrux, vms, 'start', { id: guest })
    const rest = async () => {
      while (!(await reader.read()).done);
    }
    await expect(rest()).rejects.toThrow()
    await none(volume)

    const refused = await get(at('there', volume))
    expect(refused.status).toBe(409)
    expect(await refused.json()).toMatchObject({ message: expect.stringContaining('download a snapshot') as string })
    const taken = await get(at('there', volume, `?format=qcow2&snapshot=${snapshot}`))
    expect(taken.status).toBe(200)
    const file = join(folder, 'taken.qcow2')
    await writeFile(file, await bytesOf(taken))
    await local.runChecked('qemu-img', ['check', '-f', 'qcow2', file])
    const read = ['-r', '-f', 'qcow2', '-c', `read -P 161 ${3 * MiB} ${2 * MiB}`, file]
    expect((await local.run('qemu-io', read)).stdout).not.toContain('verification failed')
    await done(product.horcrux, vms, 'stop', { id: guest, force: true })
  })

  test('needs the right to make volumes, that to back up the VM that has it, and is on record', async () => {
    const [username, password] = [`carol-${++count}`, 'Nebelkrähe-12']
    await product.ask('POST /api/users', { json: { username, password } })
    const subject = { kind: 'user', id: username }
    const grant = (role: string, path: string) =>
      product.ask('POST /api/permissions', { json: { subject, role, path } })
    const { body } = await product.ask('POST /api/auth/login', { json: { username, password } })
    const carol = { authorization: `Bearer ${String(body['token'])}` }
    const status = async (volume: string) => {
      const answer = await fetch(at('there', volume), { headers: carol, method: 'HEAD' })
      return answer.status
    }
    const { disks } = await product.horcrux.call(vms, 'get', { id: guest })
    const volume = disks[0]!.volume!
    await grant('Auditor', '/')
    expect(await status('small')).toBe(403)
    await grant('StorageAdmin', '/api/storage/pools/there')
    await until(async () => (await status('small')) === 200, { what: 'the new grant' })
    expect(await status(volume)).toBe(403)
    await grant('VmAdmin', `/api/vms/${guest}`)
    await until(async () => (await status(volume)) === 200, { what: 'the new grant' })
    expect((await fetch(at('there', 'small'))).status).toBe(401)
    const { body: page } = await product.ask('GET /api/audit/events?limit=1000&kind=volume_downloaded')
    expect(page['data']).toContainEqual(
      expect.objectContaining({
        user: username,
        action: 'volume-downloads.download',
        path: '/api/storage/pools/there/volumes/small',
        result: 'success',
      }),
    )
  })
})
