import { randomUUID } from 'node:crypto'
import { link, mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { devices } from '#shared/contracts/vm/devices.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { poolPath, startGuests } from '../../../lab/guests/guests.ts'
import { labHosts } from '../../../lab/hosts/lab.ts'
import { done } from '../../../lab/product/run-operation.ts'

const GiB = 2 ** 30
const images = '/var/lib/libvirt/images'
const [host] = labHosts
let lab: Awaited<ReturnType<typeof startGuests>>

const here = (path: string) => join(host!.dir, path)
const image = (path: string, backing?: string) => {
  const create = ['create', '-q', '-f', 'qcow2']
  const ofBacking = backing === undefined ? [] : ['-u', '-b', backing, '-F', 'qcow2']
  return localHost().runChecked('qemu-img', [...create, ...ofBacking, here(path), String(GiB)])
}
const define = (name: string, ...paths: string[]) => {
  const disk = (path: string, index: number) =>
    `<disk type="file" device="disk"><driver name="qemu" type="qcow2"/><source file="${path}"/><target dev="vd${'abc'[index]}" bus="virtio"/></disk>`
  const xml = `<domain type="qemu"><name>${name}</name><uuid>${randomUUID()}</uuid><memory unit="MiB">128</memory><vcpu>1</vcpu><os><type arch="x86_64" machine="pc">hvm</type></os><devices>${paths.map(disk).join('')}</devices></domain>`
  return lab.defineByHand(name, xml)
}
const adopt = async (id: string) => (await done(lab.horcrux, vms, 'adopt', { node: 'hv1', domain: id, id })) as Vm
const inUse = { violations: [expect.objectContaining({ code: 'in_use' })] }
const remove = (id: string) => done(lab.horcrux, vms, 'delete', { id })
const volume = (name: string) => lab.horcrux.call(volumes, 'get', { id: 'images', volume: name })

beforeAll(async () => {
  lab = await startGuests(host!)
  await symlink('pool', here('other-name'))
})
afterAll(() => lab?.horcrux.stop())

test('a volume that is in use is not adopted again, by whatever path a guest names it', async () => {
  await image('pool/taken.qcow2')
  await define('holder', `${poolPath}/taken.qcow2`)
  expect((await adopt('holder')).disks).toMatchObject([{ pool: 'images', volume: 'taken' }])
  await link(here('pool/taken.qcow2'), here('hard.qcow2'))
  await link(here('pool/taken.qcow2'), here('pool/hard.qcow2'))
  const paths = [
    `${images}/other-name/taken.qcow2`,
    `${poolPath}/../pool/taken.qcow2`,
    `${images}//pool//taken.qcow2`,
    `${images}/hard.qcow2`,
    `${poolPath}/hard.qcow2`,
  ]
  for (const [index, path] of paths.entries()) {
    await define(`again${index}`, path)
    await expect(adopt(`again${index}`), path).rejects.toMatchObject(inUse)
  }
  await remove('holder')
})

test('a volume under another path is adopted as the volume that it is', async () => {
  await image('pool/linked.qcow2')
  await define('through', `${images}/other-name/linked.qcow2`)
  expect((await adopt('through')).disks).toMatchObject([{ pool: 'images', volume: 'linked', size_bytes: GiB }])
  expect((await volume('linked')).used_by).toBe('/api/vms/through')
  await remove('through')
})

test('one file in no storage pool becomes the disk of one virtual machine, of two adoptions at once too', async () => {
  await image('loose.qcow2')
  await symlink('loose.qcow2', here('alias.qcow2'))
  await define('loose1', `${images}/loose.qcow2`)
  await define('loose2', `${images}/alias.qcow2`)
  const results = await Promise.allSettled([adopt('loose1'), adopt('loose2')])
  expect(results.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
  const [won, lost] = results[0]!.status === 'fulfilled' ? ['loose1', 'loose2'] : ['loose2', 'loose1']
  await expect(adopt(lost!)).rejects.toMatchObject(inUse)
  await remove(won!)
  expect((await adopt(lost!)).disks).toMatchObject([{ pool: null }])
  await remove(lost!)
})

test('the disk of a virtual machine and its backing files are read neither as ISO nor as kernel nor as image', async () => {
  const { horcrux } = lab
  await image('below.qcow2')
  await image('above.qcow2', `${images}/below.qcow2`)
  await symlink('above.qcow2', here('shown.qcow2'))
  await mkdir(here('isos'), { recursive: true })
  await link(here('above.qcow2'), here('isos/above.iso'))
  await link(here('below.qcow2'), here('isos/below.iso'))
  await define('reader', `${images}/shown.qcow2`)
  await adopt('reader')
  const vm = { name: 'thief', memory: 128, cpus: 1, node: 'hv1' }
  const paths = ['above.qcow2', 'below.qcow2', 'shown.qcow2', 'isos/above.iso', 'isos/below.iso']
  for (const path of paths.map((each) => `${images}/${each}`)) {
    const isDisk = { violations: [expect.objectContaining({ code: 'disk' })] }
    await expect(horcrux.call(vms, 'create', { ...vm, iso: path }), path).rejects.toMatchObject(isDisk)
    await expect(horcrux.call(vms, 'create', { ...vm, boot: { kernel: path } }), path).rejects.toMatchObject(isDisk)
    const disks = [{ pool: 'images', image: path }]
    await expect(horcrux.call(vms, 'create', { ...vm, disks }), path).rejects.toMatchObject(isDisk)
  }
  await remove('reader')
  expect(await horcrux.call(vms, 'unmanaged', { id: 'hv1' })).toBeDefined()
})

test('the base of an adopted overlay is known and in use: it is neither deleted, resized nor attached', async () => {
  const { horcrux } = lab
  await image('pool/base.qcow2')
  await image('pool/middle.qcow2', `${poolPath}/base.qcow2`)
  await image('pool/top.qcow2', 'middle.qcow2')
  await image('outside.qcow2', `${images}/other-name/base.qcow2`)
  await define('overlay', `${poolPath}/top.qcow2`, `${images}/outside.qcow2`)
  expect((await adopt('overlay')).disks).toMatchObject([{ volume: 'top' }, { pool: null }])
  expect((await volume('top')).backing).toBe('images/middle')
  expect(await volume('middle')).toMatchObject({ backing: 'images/base', used_by: null })
  const guest = { id: 'plain', name: 'plain', memory: 128, cpus: 1, node: 'hv1' }
  await done(horcrux, vms, 'create', guest)
  const refused = async (name: string) => {
    const one = { id: 'images', volume: name }
    await expect(done(horcrux, volumes, 'delete', one)).rejects.toThrow('backing file in use')
    await expect(done(horcrux, volumes, 'resize', { ...one, size: 2 * GiB })).rejects.toThrow('backing file in use')
    const attached = done(horcrux, devices, 'attachDisk', { id: 'plain', pool: 'images', volume: name })
    await expect(attached).rejects.toThrow('backing file in use')
  }
  await refused('middle')
  await refused('base')
  await done(horcrux, devices, 'detachDisk', { id: 'overlay', disk: 'vda' })
  await done(horcrux, volumes, 'delete', { id: 'images', volume: 'top' })
  await done(horcrux, volumes, 'delete', { id: 'images', volume: 'middle' })
  // The disk outside reads from it still.
  await refused('base')
  await remove('overlay')
  await done(horcrux, volumes, 'delete', { id: 'images', volume: 'base' })
  await remove('plain')
})
