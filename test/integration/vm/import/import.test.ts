import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { resourcePools } from '#shared/contracts/access/resource-pools.ts'
import { uploads } from '#shared/contracts/storage/uploads.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { type ImportPlan, vmImports } from '#shared/contracts/vm/vm-imports.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import type { ValidationError } from '#shared/errors.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { sendFile } from '../../../lab/faults/upload.ts'
import { startGuests } from '../../../lab/guests/guests.ts'
import { haveBridge } from '../../../lab/hosts/bridges.ts'
import { labHosts } from '../../../lab/hosts/lab.ts'
import { done, work } from '../../../lab/product/run-operation.ts'
import { virtualBoxOvf, virtV2vOvf, vmwareOvf } from '../../../lab/storage/appliances.ts'
import { manifestOf, tarOf } from '../../../lab/storage/hostile-images.ts'

const MiB = 2 ** 20
const GiB = 2 ** 30
const [host] = labHosts
const local = localHost()
let lab: Awaited<ReturnType<typeof startGuests>>
let folder: string

beforeAll(async () => {
  lab = await startGuests(host!)
  folder = await mkdtemp(join(tmpdir(), 'horcrux-import-'))
  await haveBridge(host!, 'lan')
})
afterAll(async () => {
  await lab?.horcrux.stop()
  await rm(folder, { recursive: true, force: true })
})

const at = (name: string) => join(folder, name)
let count = 0
/** Names that no earlier try has used. */
const fresh = (word: string) => `${word}-${count++}-${randomBytes(3).toString('hex')}`

/** A disk with some data at its beginning and at its end, and the same as an image. */
async function diskOf(name: string, size: number, format: string, ...options: string[]) {
  const raw = at(`${name}.raw`)
  await writeFile(raw, randomBytes(2 * MiB))
  await truncate(raw, size - MiB)
  await writeFile(raw, randomBytes(MiB), { flag: 'a' })
  await local.runChecked('qemu-img', ['convert', '-f', 'raw', '-O', format, ...options, raw, at(name)])
  return { raw, file: name, capacity: size, bytes: (await readFile(at(name))).length }
}
const stream = ['-o', 'subformat=streamOptimized']

async function send(bytes: Buffer): Promise<string> {
  const upload = randomUUID()
  await sendFile(lab.horcrux, upload, fresh('file'), bytes)
  return upload
}
/** An archive by tar itself, as the tools of others make it. */
async function archiveOf(...names: string[]): Promise<Buffer> {
  await local.runChecked('tar', ['--format=ustar', '-C', folder, '-cf', at('out.ova'), ...names])
  return readFile(at('out.ova'))
}
const planOf = async (params: object) =>
  (await lab.horcrux.call(vmImports, 'run', {
    pool: 'images',
    ...params,
    plan: true,
  } as never)) as unknown as ImportPlan
const importOf = async (params: object) =>
  (await done(lab.horcrux, vmImports, 'run', { pool: 'images', ...params })) as Vm
const left = async () => (await lab.horcrux.call(uploads, 'list', { id: 'images' })).data.map(({ id }) => id)
/** Compares a disk of a VM with the raw image that it came from; beyond it, the disk has zeros. */
const compare = (raw: string, { volume, format }: Vm['disks'][number]) =>
  local.runChecked('qemu-img', [
    'compare',
    '-f',
    'raw',
    '-F',
    format,
    raw,
    join(host!.dir, 'pool', `${volume}.${format}`),
  ])
const refusal = (working: Promise<unknown>) =>
  working.then(
    () => undefined,
    (error: unknown) => error as ValidationError,
  )

test('an OVA of VirtualBox becomes a VM that starts; the plan has changed nothing, and told everything', async () => {
  const name = fresh('web')
  const disk = await diskOf(`${name}.vmdk`, GiB, 'vmdk', ...stream)
  const descriptor = virtualBoxOvf(disk)
  await writeFile(at(`${name}.ovf`), descriptor)
  const sha1 = (bytes: Buffer | string) => createHash('sha1').update(bytes).digest('hex')
  const manifest = `SHA1 (${name}.ovf) = ${sha1(descriptor)}\nSHA1 (${name}.vmdk) = ${sha1(await readFile(at(disk.file)))}\n`
  await writeFile(at(`${name}.mf`), manifest)
  const upload = await send(await archiveOf(`${name}.ovf`, `${name}.vmdk`, `${name}.mf`))
  const given = { upload, name, networks: [{ from: 'NAT', bridge: 'lan' }], keep_macs: true }

  const plan = await planOf(given)
  expect(plan).toMatchObject({
    name,
    node: 'hv1',
    cpus: 2,
    memory: 1024,
    firmware: 'bios',
    disks: [{ file: disk.file, size_bytes: GiB, controller: 'AHCI', bus: 'sata', pool: 'images' }],
    nics: [
      { from: 'NAT', bridge: 'lan', network: null, from_model: 'E1000', model: 'e1000e', mac: '08:00:27:d0:41:d7' },
    ],
    unmapped: ['USB controller (usb)', 'sound card (sound)', 'CD drive (cdrom1)'],
    violations: [],
  })
  expect((await planOf(given)).plan_id).toBe(plan.plan_id)
  expect(await left()).toContain(upload)
  // The libvirt of the lab has no network of the usual name: told by the plan, and refused.
  const without = await planOf({ upload, name })
  expect(without.violations).toMatchObject([{ field: 'nics.0.network' }])
  expect(await refusal(lab.horcrux.call(vmImports, 'run', { pool: 'images', upload, name } as never))).toMatchObject({
    status: 422,
  })

  const vm = await importOf({ ...given, start: true })
  expect(vm).toMatchObject({
    name,
    status: 'running',
    cpus: 2,
    memory: 1024,
    nics: [{ bridge: 'lan', mac: '08:00:27:d0:41:d7' }],
  })
  expect(await left()).not.toContain(upload)
  await done(lab.horcrux, vms, 'stop', { id: vm.id, force: true })
  await compare(disk.raw, vm.disks[0]!)
  await done(lab.horcrux, vms, 'delete', { id: vm.id, purge: true })
})

test('an OVF descriptor of VMware with files beside it: EFI, sockets, two filled disks and an empty one, on virtio', async () => {
  const name = fresh('shop')
  const first = await diskOf(`${name}-1.vmdk`, 2 * GiB, 'vmdk', ...stream)
  const second = await diskOf(`${name}-2.vmdk`, GiB, 'vmdk', ...stream)
  const descriptor = vmwareOvf(first, second)
  const images = await Promise.all([first, second].map(({ file }) => readFile(at(file))))
  const manifest = manifestOf({ 'shop.ovf': descriptor, [first.file]: images[0]!, [second.file]: images[1]! })
  const upload = await send(Buffer.from(descriptor))
  const files = [
    { name: first.file, upload: await send(images[0]!) },
    { name: second.file, upload: await send(images[1]!) },
    { name: 'shop.mf', upload: await send(Buffer.from(manifest)) },
  ]
  const networks = [{ from: 'VM Network', bridge: 'lan' }]
  const vm = await importOf({ upload, files, name, networks, bus: 'virtio', nic_model: 'virtio' })
  expect(vm).toMatchObject({
    firmware: 'uefi',
    description: 'The shop & its till',
    topology: { sockets: 2, cores: 2, threads: 1 },
    disks: [
      { id: 'vda', size_bytes: 2 * GiB },
      { id: 'vdb', size_bytes: 3 * GiB },
      { id: 'vdc', size_bytes: GiB },
    ],
  })
  await compare(first.raw, vm.disks[0]!)
  await compare(second.raw, vm.disks[2]!)
  expect(await left()).toEqual(expect.not.arrayContaining(files.map((file) => file.upload)))
  await done(lab.horcrux, vms, 'delete', { id: vm.id, purge: true })
})

test('an OVA with a qcow2 image and the descriptor of virt-v2v, within the limits of a resource pool', async () => {
  const { horcrux } = lab
  const name = fresh('ledger')
  const disk = await diskOf(`${name}.qcow2`, GiB, 'qcow2')
  await writeFile(at(`${name}.ovf`), virtV2vOvf({ ...disk, capacity: 2 * GiB }))
  const upload = await send(await archiveOf(`${name}.ovf`, disk.file))
  const networks = [{ from: 'ovirtmgmt', bridge: 'lan' }]
  await horcrux.call(resourcePools, 'create', { id: name, name, limits: { disk: GiB } })
  const given = { pool: 'images', upload, name, networks, resource_pool: name }
  expect(await refusal(horcrux.call(vmImports, 'run', given as never))).toMatchObject({ status: 409 })
  await horcrux.call(resourcePools, 'replace', { id: name, name, limits: { disk: 2 * GiB } })
  const vm = await importOf(given)
  // The disk grows to the size of the descriptor.
  expect(vm.disks).toMatchObject([{ id: 'vda', bus: 'virtio', size_bytes: 2 * GiB }])
  await compare(disk.raw, vm.disks[0]!)
  expect((await horcrux.call(resourcePools, 'get', { id: name })).used).toMatchObject({ disk: 2 * GiB, instances: 1 })
  await done(horcrux, vms, 'delete', { id: vm.id, purge: true })
})

describe('a hostile upload', () => {
  const small = { file: 'a.vmdk', bytes: 1, capacity: GiB }
  const descriptor = virtualBoxOvf(small)
  const ofOvf = (data: string) => tarOf([{ name: 'a.ovf', data }])
  const plain = { name: 'a.ovf', data: descriptor }

  test.each([
    ['with a descriptor of 2 MiB', () => ofOvf(descriptor + ' '.repeat(2 * MiB)), /'a.ovf' of \d+ bytes/],
    ['with entities', () => ofOvf(`<!DOCTYPE a [<!ENTITY b "c">]>${descriptor}`), /document type/],
    [
      'with a link for a descriptor',
      () => tarOf([{ name: 'a.ovf', type: 'symlink', linkname: '/etc/passwd' }]),
      /symlink/,
    ],
    ['with a descriptor at a path', () => tarOf([{ name: '../a.ovf', data: descriptor }]), /with a path/],
    ['that is an image', async () => Buffer.alloc(2 * MiB, 'x'), /neither an OVA nor a descriptor/],
    ['that is a web page', async () => Buffer.from('<html><body>Not found</body></html>'), /begins with html/],
  ])('%s is refused at once', async (_, file, reason) => {
    const upload = await send(await file())
    const error = await refusal(planOf({ upload, name: 'a', memory: 256 }))
    expect(error).toMatchObject({ status: 422 })
    expect(error!.message).toMatch(reason)
  })

  test('is refused when its files are read, and leaves no VM, no volume, and the uploads as they were', async () => {
    const { horcrux } = lab
    const larger = await readFile(at((await diskOf(`${fresh('large')}.vmdk`, 2 * GiB, 'vmdk', ...stream)).file))
    const right = await readFile(at((await diskOf(`${fresh('right')}.vmdk`, GiB, 'vmdk', ...stream)).file))
    const disk = { name: 'a.vmdk', data: right }
    const cases: [name: string, file: Buffer, reason: RegExp][] = [
      [
        'a disk larger than it says',
        await tarOf([plain, { name: 'a.vmdk', data: larger }]),
        /the descriptor says 1073741824/,
      ],
      ['a wrong digest', await tarOf([plain, { name: 'a.mf', data: manifestOf({ 'a.vmdk': 'x' }) }, disk]), /damaged/],
      ['a file twice', await tarOf([plain, disk, disk]), /two files named/],
      ['a file outside', await tarOf([plain, { name: '../../a.vmdk', data: right }]), /with a path/],
      ['a hard link', await tarOf([plain, { name: 'a.vmdk', type: 'link', linkname: '/etc/shadow' }]), /link/],
      ['no disk', await tarOf([plain]), /'a.vmdk' of a disk is missing/],
      [
        'a cut disk',
        await tarOf([plain, { name: 'a.vmdk', data: right.subarray(0, 512 * 40) }]),
        /cut off|damaged|truncated/,
      ],
      ['a cut archive', (await tarOf([plain, disk])).subarray(0, -right.length - 512), /no whole tar archive/],
      [
        '65 files',
        await tarOf([plain, disk, ...Array.from({ length: 64 }, (_, index) => ({ name: `f${index}`, data: '' }))]),
        /more than 64 files/,
      ],
    ]
    for (const [what, file, reason] of cases) {
      const name = fresh('bad')
      const upload = await send(file)
      const networks = [{ from: 'NAT', bridge: 'lan' }]
      const { state, error } = await work(horcrux, vmImports, 'run', {
        pool: 'images',
        upload,
        id: name,
        name,
        networks,
      })
      expect([state, error?.message], what).toEqual(['failed', expect.stringMatching(reason)])
      expect((await horcrux.call(vms, 'list', { filter: `name:${name}` })).total, what).toBe(0)
      expect((await horcrux.call(volumes, 'list', { id: 'images', filter: `name:${name}*` })).total, what).toBe(0)
      expect(await horcrux.call(uploads, 'get', { id: 'images', upload }), what).toMatchObject({ state: 'receiving' })
      await horcrux.call(uploads, 'delete', { id: 'images', upload })
    }
  })

  test('is named by its place when several are given: one twice, one that has not arrived', async () => {
    const { horcrux } = lab
    const upload = await send(Buffer.from(descriptor))
    const empty = randomUUID()
    await horcrux.call(uploads, 'create', { id: 'images', upload: empty, name: fresh('file'), size: 10 })
    const files = [
      { name: 'a.vmdk', upload },
      { name: 'a.vmdk', upload: empty },
    ]
    const error = await refusal(planOf({ upload, files, name: 'a' }))
    expect(error!.violations.map(({ field }) => field)).toEqual(['files.0', 'files.1', 'files.1'])
    for (const id of [upload, empty]) await horcrux.call(uploads, 'delete', { id: 'images', upload: id })
  })
})
