import { randomUUID } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { consoles } from '#shared/contracts/vm/consoles.ts'
import { resourcePools } from '#shared/contracts/access/resource-pools.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import type { ValidationError } from '#shared/errors.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { parseXml, writeXml } from '../../../../services/vm/drivers/qemu/xml/xml.ts'
import { unmarked } from '../../../../services/vm/drivers/qemu/xml/merge.ts'
import { foreignDomain } from '../../../lab/guests/foreign-domain.ts'
import { poolPath, startGuests } from '../../../lab/guests/guests.ts'
import { done } from '../../../lab/product/run-operation.ts'
import { labHosts } from '../../../lab/hosts/lab.ts'

const GiB = 2 ** 30
const [host] = labHosts
let guests: Awaited<ReturnType<typeof startGuests>>

const image = async (path: string, format = 'qcow2') =>
  localHost().runChecked('qemu-img', ['create', '-q', '-f', format, join(host!.dir, path), String(GiB)])
const exists = (path: string) =>
  stat(join(host!.dir, path)).then(
    () => true,
    () => false,
  )
/** What libvirt says of a domain, without our mark and the blanks around it. */
const written = async (uuid: string) => {
  const xml = unmarked(await guests.virsh('dumpxml', '--inactive', '--security-info', uuid))
  return writeXml(parseXml(xml)).replaceAll(/>\s+</g, '><')
}
const refusal = (work: Promise<unknown>) =>
  work.then(
    () => undefined,
    (error: unknown) => error as ValidationError,
  )

beforeAll(async () => {
  guests = await startGuests(host!)
})
afterAll(() => guests?.horcrux.stop())

test('a running guest is adopted without a restart: nothing of its XML is lost, its disk is a volume of the pool', async () => {
  const { horcrux, virsh, defineByHand } = guests
  const uuid = randomUUID()
  await image('pool/old.qcow2')
  await image('outside.raw', 'raw')
  const disks = [`${poolPath}/old.qcow2`, '/var/lib/libvirt/images/outside.raw']
  await defineByHand('old', foreignDomain('old', uuid, disks))
  await virsh('start', 'old')
  const [before, run] = [await written(uuid), await virsh('domid', 'old')]
  expect((await horcrux.call(vms, 'unmanaged', { id: 'hv1' })).data).toContainEqual(
    expect.objectContaining({ uuid, name: 'old', status: 'running', persistent: true }),
  )

  const vm = (await done(horcrux, vms, 'adopt', { node: 'hv1', domain: 'old', id: 'old' })) as Vm
  expect(vm).toMatchObject({
    id: 'old',
    status: 'running',
    desired_state: 'running',
    description: 'Made with virsh',
    memory: 136,
    cpus: 1,
    architecture: 'x86_64',
    firmware: 'bios',
    pending: [],
    disks: [
      { id: 'hda', pool: 'images', volume: 'old', bus: 'ide', size_bytes: GiB },
      { id: 'hdb', pool: null, volume: null, path: disks[1], format: 'raw', size_bytes: GiB },
    ],
  })
  expect(await virsh('domid', 'old')).toBe(run)
  expect(await written(uuid)).toBe(before)
  expect((await horcrux.call(volumes, 'get', { id: 'images', volume: 'old' })).used_by).toBe('/api/vms/old')
  expect((await horcrux.call(vms, 'unmanaged', { id: 'hv1' })).data.map((one) => one.uuid)).not.toContain(uuid)

  const changed = await horcrux.call(vms, 'update', { id: 'old', memory: 256, tags: ['mine'] })
  expect(changed.pending).toEqual([{ field: 'memory', current: 136, next: 256 }])
  const after = await written(uuid)
  for (const kept of ['watchdog', 'S-1', 'base=localtime', '<title>', 'bootmenu', 'localtime', 'D-1', 'pc-i440fx'])
    expect(after).toContain(kept)
  expect(after).toMatch(/<memory unit="KiB">262144</)

  await done(horcrux, vms, 'stop', { id: 'old', force: true })
  await done(horcrux, vms, 'delete', { id: 'old', purge: true })
  expect([await exists('pool/old.qcow2'), await exists('outside.raw')]).toEqual([false, true])
})

test('a guest that is off is adopted under another name, and starts', async () => {
  const { horcrux, virsh, defineByHand } = guests
  const uuid = randomUUID()
  await defineByHand('some.guest', foreignDomain('some.guest', uuid))
  const error = await refusal(horcrux.call(vms, 'adopt', { node: 'hv1', domain: uuid }))
  expect(error?.violations).toMatchObject([{ field: 'name', code: 'invalid' }])
  const vm = (await done(horcrux, vms, 'adopt', { node: 'hv1', domain: uuid, id: 'some', name: 'some' })) as Vm
  expect(vm).toMatchObject({ name: 'some', status: 'stopped', desired_state: 'stopped' })
  expect(((await done(horcrux, vms, 'start', { id: 'some' })) as Vm).status).toBe('running')
  expect(await virsh('domuuid', 'some')).toBe(uuid)
  await done(horcrux, vms, 'stop', { id: 'some', force: true })
  await done(horcrux, vms, 'delete', { id: 'some' })
})

test('a guest that cannot be adopted is refused with all reasons at once, and is not changed', async () => {
  const { horcrux, virsh, defineByHand } = guests
  const uuid = randomUUID()
  await image('pool/theirs.vmdk', 'vmdk')
  await defineByHand('bad.name', foreignDomain('bad.name', uuid, [`${poolPath}/theirs.vmdk`]))
  const before = await virsh('dumpxml', uuid)
  const error = await refusal(horcrux.call(vms, 'adopt', { node: 'hv1', domain: uuid }))
  expect(error?.violations.map(({ field, code }) => `${field} ${code}`)).toEqual(['domain unsupported', 'name invalid'])
  expect(await virsh('dumpxml', uuid)).toBe(before)
  await virsh('undefine', uuid)
  const absent = await refusal(horcrux.call(vms, 'adopt', { node: 'hv1', domain: 'nobody' }))
  expect(absent?.violations).toMatchObject([{ field: 'domain', code: 'not_found' }])
})

test('of ten adoptions of one guest one wins', async () => {
  const { horcrux, defineByHand } = guests
  const uuid = randomUUID()
  await defineByHand('wanted', foreignDomain('wanted', uuid))
  const tries = Array.from({ length: 10 }, () => done(horcrux, vms, 'adopt', { node: 'hv1', domain: uuid }))
  const results = await Promise.allSettled(tries)
  const won = results.flatMap((one) => (one.status === 'fulfilled' ? [one.value as Vm] : []))
  expect(won).toHaveLength(1)
  for (const one of results)
    if (one.status === 'rejected') expect((one.reason as Error).message).toMatch(/is held by|already/)
  await done(horcrux, vms, 'delete', { id: won[0]!.id })
})

test('a guest that is adopted into a resource pool is counted there within its limits, and no more once it is deleted', async () => {
  const { horcrux, virsh, defineByHand } = guests
  const [one, two] = [randomUUID(), randomUUID()]
  await image('pool/counted.qcow2')
  await defineByHand('counted', foreignDomain('counted', one, [`${poolPath}/counted.qcow2`]))
  await defineByHand('toomuch', foreignDomain('toomuch', two))
  await horcrux.call(resourcePools, 'create', { id: 'adopted', name: 'adopted', limits: { memory: 200 } })
  const pool = async () => horcrux.call(resourcePools, 'get', { id: 'adopted' })
  const adopt = (domain: string, resource_pool: string) =>
    done(horcrux, vms, 'adopt', { node: 'hv1', domain, id: domain, resource_pool })

  await adopt('counted', 'adopted')
  expect(await pool()).toMatchObject({
    used: { cpus: 1, memory: 136, disk: GiB, instances: 1 },
    members: [{ kind: 'vm', id: 'counted' }],
  })
  const before = await virsh('dumpxml', two)
  await expect(adopt('toomuch', 'adopted')).rejects.toThrow('136 MiB memory wanted, 136 of 200 used')
  expect((await refusal(adopt('toomuch', 'nowhere')))?.violations).toMatchObject([
    { field: 'resource_pool', code: 'not_found' },
  ])
  expect(await virsh('dumpxml', two)).toBe(before)
  expect((await pool()).used.instances).toBe(1)

  await done(horcrux, vms, 'delete', { id: 'counted', purge: true })
  expect(await pool()).toMatchObject({ used: { cpus: 0, memory: 0, disk: 0, instances: 0 }, members: [] })
  await virsh('undefine', two)
})

test('a guest that boots from a device unknown to Horcrux is adopted, and its other settings can be changed', async () => {
  const { horcrux, virsh, defineByHand } = guests
  const uuid = randomUUID()
  await image('pool/odd.qcow2')
  const nic =
    '<interface type="user"><mac address="52:54:00:0d:0d:0d"/><model type="e1000"/><boot order="1"/></interface>'
  const xml = foreignDomain('odd', uuid, [`${poolPath}/odd.qcow2`])
    .replace('<boot dev="hd"/>', '')
    .replace('<serial>D-0</serial>', '<serial>D-0</serial><boot order="2"/>')
    .replace('<watchdog', `${nic}<watchdog`)
  await defineByHand('odd', xml)
  const vm = (await done(horcrux, vms, 'adopt', { node: 'hv1', domain: 'odd', id: 'odd' })) as Vm
  expect(vm).toMatchObject({ boot_order: ['hda'], nics: [] })
  expect(await horcrux.call(vms, 'update', { id: 'odd', memory: 256 })).toMatchObject({ memory: 256 })
  const after = await virsh('dumpxml', '--inactive', uuid)
  expect(after.match(/<boot order=.\d/g)).toHaveLength(2)

  await done(horcrux, vms, 'start', { id: 'odd' })
  const refused = await refusal(horcrux.call(consoles, 'write', { id: 'odd', text: 'x' }))
  expect(refused!.message).toMatch(/no serial console that writes a log/)
  // What it is told to add is what makes it work.
  const serial = /<serial.*<\/serial>/.exec(refused!.message)![0]
  await done(horcrux, vms, 'stop', { id: 'odd', force: true })
  await defineByHand('odd', after.replace('</devices>', `${serial}</devices>`))
  await done(horcrux, vms, 'start', { id: 'odd' })
  // Its firmware reads nothing; but what is typed comes as far as that.
  const unread = await refusal(horcrux.call(consoles, 'write', { id: 'odd', text: 'x' }))
  expect(unread!.message).toMatch(/does not read its serial console/)
  await done(horcrux, vms, 'stop', { id: 'odd', force: true })
  await done(horcrux, vms, 'delete', { id: 'odd', purge: true })
})
