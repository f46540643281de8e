import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { devices } from '#shared/contracts/vm/devices.ts'
import { templates } from '#shared/contracts/vm/templates.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { ConflictError } from '#shared/errors.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { type CloneLab, refusal, startCloneLab } from '../../../lab/guests/clones.ts'
import { foreignDomain } from '../../../lab/guests/foreign-domain.ts'
import { guestOn } from '../../../lab/guests/tiny-guest.ts'
import { done } from '../../../lab/product/run-operation.ts'
import { available } from '../../../lab/requirements.ts'
import { until } from '../../../lab/wait.ts'
import { guestPrefix } from '../../../../tools/tiny-guest/tiny-guest.ts'

let lab: CloneLab
beforeAll(async () => {
  lab = await startCloneLab()
})
afterAll(() => lab?.stop())
afterEach(() => lab.clear())

const virsh = async (...words: string[]) =>
  (await localHost().runChecked('virsh', ['-q', '-c', lab.lab.uri, ...words])).stdout.trim()
/** Has libvirt know a domain, as `virsh define` does. */
const defineByHand = async (name: string, xml: string) => {
  const file = join(lab.lab.dir, `${name}.xml`)
  await writeFile(file, xml)
  await virsh('define', file)
}
const refusedTemplate = async (vm_id: string) =>
  (await refusal(lab.horcrux.call(templates, 'create', { vm_id }), ConflictError)).message

const read = (id: string) => lab.horcrux.call(vms, 'get', { id })
const plain = (id: string) =>
  done(lab.horcrux, vms, 'create', { id, name: id, memory: 256, cpus: 1, max_cpus: 4, node: 'hv1' })

test('changes by virsh while a guest is off are seen without an event, and no PATCH writes the old values back', async () => {
  const { horcrux } = lab
  await plain('seen')
  await virsh('setvcpus', 'seen', '3', '--config')
  await virsh('setmem', 'seen', '128M', '--config')
  await virsh('autostart', 'seen')
  await until(async () => (await read('seen')).autostart, { what: 'the autostart' })
  expect(await read('seen')).toMatchObject({ cpus: 3, balloon: 128, memory: 256, autostart: true, pending: [] })

  // At once, before any comparison.
  await virsh('setvcpus', 'seen', '2', '--config')
  await virsh('autostart', '--disable', 'seen')
  const changed = await horcrux.call(vms, 'update', { id: 'seen', memory: 512 })
  expect(changed).toMatchObject({ memory: 512, cpus: 2, balloon: 128, autostart: false })
  expect(await virsh('dumpxml', '--inactive', 'seen')).toMatch(/<vcpu [^>]*current='2'>4</)
  expect(await virsh('dominfo', 'seen')).toMatch(/Autostart: +disable/)
  await virsh('setvcpus', 'seen', '3', '--config')
  // The value of the record, but not of the definition.
  expect(await horcrux.call(vms, 'update', { id: 'seen', cpus: 2 })).toMatchObject({ cpus: 2 })
  expect(await virsh('dumpxml', '--inactive', 'seen')).toMatch(/<vcpu [^>]*current='2'>4</)
  await done(horcrux, vms, 'delete', { id: 'seen' })
})

test('setmem on a running guest is shown as a difference to its next start, once the balloon rests', async () => {
  const { horcrux } = lab
  const boot = await guestOn(lab.lab)
  await done(horcrux, vms, 'create', { id: 'live', name: 'live', memory: 256, cpus: 1, node: 'hv1', boot })
  await done(horcrux, vms, 'start', { id: 'live' })
  await until(async () => (await horcrux.call(vms, 'serial', { id: 'live' })).text.includes(`${guestPrefix} up`))
  await virsh('setmem', 'live', '200M', '--live')
  const { pending } = await until(
    async () => {
      const vm = await read('live')
      return vm.pending.length > 0 ? vm : null
    },
    { what: 'the difference' },
  )
  expect(pending).toEqual([{ field: 'balloon', current: 200, next: null }])
  expect(await horcrux.call(vms, 'update', { id: 'live', tags: ['x'] })).toMatchObject({ balloon: null, pending })
  expect(await virsh('dommemstat', 'live')).toMatch(/^actual 204800$/m)
  expect(await horcrux.call(vms, 'update', { id: 'live', balloon: 128 })).toMatchObject({ balloon: 128 })
  await until(async () => (await read('live')).pending.length === 0, { what: 'the balloon of the record' })
  await done(horcrux, vms, 'stop', { id: 'live', force: true })
  await done(horcrux, vms, 'delete', { id: 'live' })
})

test('a disk that virsh attaches to the definition alone is shown without any other event', async () => {
  const { horcrux, images } = lab
  await plain('given')
  const file = join(lab.lab.dir, 'given.raw')
  await images.host.writeFile(file, 'x'.repeat(1024))
  await virsh('attach-disk', 'given', file, 'vdb', '--config')
  const shown = await until(
    async () => {
      const { foreign_disks } = await read('given')
      return foreign_disks.length > 0 ? foreign_disks : null
    },
    { what: 'the disk' },
  )
  expect(shown).toMatchObject([{ id: 'vdb', source: file }])
  await virsh('detach-disk', 'given', 'vdb', '--config')
  await until(async () => (await read('given')).foreign_disks.length === 0, { what: 'its end' })
  await done(horcrux, vms, 'delete', { id: 'given' })
})

test('a guest with a saved memory has a reason for its status, and takes no change of hardware', async () => {
  const { horcrux } = lab
  await plain('saved')
  await done(horcrux, vms, 'start', { id: 'saved' })
  await virsh('managedsave', 'saved')
  await until(async () => (await read('saved')).status === 'stopped')
  expect((await read('saved')).status_reason).toMatch(/memory is saved/)
  for (const change of [{ memory: 512 }, { cpus: 2 }, { name: 'other' }, { graphics: [] }])
    expect((await refusal(horcrux.call(vms, 'update', { id: 'saved', ...change }), ConflictError)).message).toMatch(
      /next start restores it with the hardware of then/,
    )
  await refusal(horcrux.call(devices, 'attachDisk', { id: 'saved', pool: 'images', size: 2 ** 30 }), ConflictError)
  expect(await horcrux.call(vms, 'update', { id: 'saved', tags: ['x'], autostart: true })).toMatchObject({
    memory: 256,
    tags: ['x'],
    autostart: true,
  })
  expect((await refusal(lab.clone('saved', 'copy'), ConflictError)).message).toMatch(/its memory is saved/)
  expect(await done(horcrux, vms, 'start', { id: 'saved' })).toMatchObject({
    status: 'running',
    status_reason: null,
    memory: 256,
  })
  await virsh('managedsave', 'saved')
  await until(async () => (await read('saved')).status === 'stopped')
  await until(async () => (await read('saved')).status_reason !== null, { what: 'the reason' })
  await virsh('managedsave-remove', 'saved')
  await until(async () => (await read('saved')).status_reason === null, { what: 'the end of the reason' })
  expect(await horcrux.call(vms, 'update', { id: 'saved', memory: 512 })).toMatchObject({ memory: 512 })
  await done(horcrux, vms, 'delete', { id: 'saved' })
})

test('a running guest is adopted under another name; its domain keeps its own until the VM is renamed', async () => {
  const { horcrux } = lab
  const uuid = randomUUID()
  await defineByHand('named', foreignDomain('my guest.1', uuid))
  await virsh('start', uuid)
  const vm = (await done(horcrux, vms, 'adopt', { node: 'hv1', domain: uuid, id: 'named', name: 'named' })) as Vm
  expect(vm).toMatchObject({ name: 'named', status: 'running' })
  const name = () => virsh('domname', uuid)
  expect(await name()).toBe('my guest.1')
  await horcrux.call(vms, 'update', { id: 'named', memory: 256 })
  await done(horcrux, vms, 'stop', { id: 'named', force: true })
  await horcrux.call(vms, 'update', { id: 'named', memory: 384 })
  expect(await name()).toBe('my guest.1')
  await horcrux.call(vms, 'update', { id: 'named', name: 'renamed' })
  expect(await name()).toBe('renamed')
  await done(horcrux, vms, 'delete', { id: 'named' })
})

test('a PATCH of displays, memory or boot order keeps what a definition made by hand has', async () => {
  const { horcrux } = lab
  const uuid = randomUUID()
  const vnc =
    '<graphics type="vnc" port="5991" autoport="no" keymap="de" passwd="secret"><listen type="address" address="127.0.0.1"/></graphics>'
  const nic =
    '<interface type="user"><mac address="52:54:00:0d:0e:0f"/><model type="e1000"/><boot order="1"/></interface>'
  const bridged =
    '<interface type="network"><mac address="52:54:00:0d:0e:10"/><source network="none"/><model type="virtio"/></interface>'
  const cell = '<cpu><numa><cell id="0" cpus="0" memory="262144"/></numa></cpu>'
  const xml = foreignDomain('kept', uuid)
    .replace('<boot dev="hd"/>', '')
    .replace('<memory unit="KiB">140000</memory>', '<memory unit="KiB">262144</memory>')
    .replace('<clock', `${cell}<clock`)
    .replace('<watchdog', `${vnc}${nic}${bridged}<watchdog`)
  await defineByHand('kept', xml)
  await done(horcrux, vms, 'adopt', { node: 'hv1', domain: uuid, id: 'kept' })
  const change = { memory: 512, graphics: ['vnc', 'spice'], boot_order: ['52:54:00:0d:0e:10'] }
  await horcrux.call(vms, 'update', { id: 'kept', ...change } as never)
  const written = await virsh('dumpxml', '--inactive', '--security-info', uuid)
  for (const kept of ["port='5991'", "keymap='de'", "passwd='secret'", "address='127.0.0.1'"])
    expect(written).toContain(kept)
  expect(written).toMatch(/<memory unit='KiB'>524288<.*<cell [^>]*memory='524288'/s)
  expect(written).toMatch(/52:54:00:0d:0e:0f.*?<boot order='1'\/>.*?52:54:00:0d:0e:10.*?<boot order='2'\/>/s)
  await done(horcrux, vms, 'delete', { id: 'kept' })
})

const hasSwtpm = available(
  'swtpm',
  existsSync('/usr/bin/swtpm') ? [] : ["the emulated TPM (Debian's packages swtpm and swtpm-tools)"],
)

test.skipIf(!hasSwtpm)(
  'a template keeps the state of its TPM until it is deleted, and a guest with a TPM is not cloned',
  async () => {
    const { horcrux, images } = lab
    const uuid = randomUUID()
    const state = `/var/lib/libvirt/swtpm/${uuid}/tpm2/tpm2-00.permall`
    const isKept = async () => (await images.host.stat(state)) !== null
    const tpm = '<tpm model="tpm-tis"><backend type="emulator" version="2.0"/></tpm>'
    await images.host.mkdir(`/var/lib/libvirt/swtpm/${uuid}/tpm2`)
    await images.host.writeFile(state, 'keys')
    await defineByHand('sealed', foreignDomain('sealed', uuid).replace('</devices>', `${tpm}</devices>`))
    await done(horcrux, vms, 'adopt', { node: 'hv1', domain: uuid, id: 'sealed' })
    const refused = await refusal(lab.clone('sealed', 'copy'), ConflictError)
    expect(refused.message).toMatch(/it has a TPM, and the clone would have none/)

    await lab.makeTemplate('sealed')
    expect(await isKept()).toBe(true)
    await refusal(lab.deploy('sealed', 'linked'), ConflictError)
    await done(horcrux, templates, 'delete', { id: 'sealed' })
    expect(await isKept()).toBe(true)
    expect(await virsh('dumpxml', uuid)).toContain("<backend type='emulator'")
    await lab.makeTemplate('sealed')
    await done(horcrux, vms, 'delete', { id: 'sealed' })
    expect(await isKept()).toBe(false)
    expect(await virsh('list', '--all', '--uuid')).not.toContain(uuid)
  },
)

test("a guest with a saved memory or libvirt's snapshots becomes no template, and keeps them", async () => {
  const { horcrux } = lab
  // libvirt makes no snapshot of a guest without disks.
  const disks = [{ pool: 'images', size: 2 ** 30 }]
  await done(horcrux, vms, 'create', { id: 'kept-state', name: 'kept-state', memory: 128, cpus: 1, node: 'hv1', disks })
  await done(horcrux, vms, 'start', { id: 'kept-state' })
  await virsh('managedsave', 'kept-state')
  expect(await refusedTemplate('kept-state')).toMatch(/its memory is saved/)
  expect(await virsh('list', '--all', '--with-managed-save', '--name')).toBe('kept-state')
  await virsh('managedsave-remove', 'kept-state')

  await virsh('snapshot-create-as', 'kept-state', 'before')
  expect(await refusedTemplate('kept-state')).toMatch(/libvirt has 1 snapshot of it/)
  expect(await virsh('snapshot-list', 'kept-state', '--name')).toBe('before')
  await virsh('snapshot-delete', 'kept-state', 'before')
  expect(await lab.makeTemplate('kept-state')).toMatchObject({ template: true })
})
