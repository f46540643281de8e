import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { devices } from '#shared/contracts/vm/devices.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { ConflictError } from '#shared/errors.ts'
import { refusal } from '../../lab/guests/clones.ts'
import { foreignDomain } from '../../lab/guests/foreign-domain.ts'
import { startGuests } from '../../lab/guests/guests.ts'
import { labHosts } from '../../lab/hosts/lab.ts'
import { done } from '../../lab/product/run-operation.ts'
import { until } from '../../lab/wait.ts'

let guests: Awaited<ReturnType<typeof startGuests>>
beforeAll(async () => {
  guests = await startGuests(labHosts[0]!)
})
afterAll(() => guests?.horcrux.stop())

const read = (id: string) => guests.horcrux.call(vms, 'get', { id })
const plain = (id: string) =>
  done(guests.horcrux, vms, 'create', { id, name: id, memory: 256, cpus: 1, max_cpus: 4, node: 'hv1' })

test('changes by virsh while a guest is off are seen without an event, and no PATCH writes the old values back', async () => {
  const { horcrux, virsh } = guests
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
  await virsh('setvcpus', 'seen', '4', '--config')
  // The value of the record, but not of the definition.
  expect(await horcrux.call(vms, 'update', { id: 'seen', cpus: 2 })).toMatchObject({ cpus: 2 })
  expect(await virsh('dumpxml', '--inactive', 'seen')).toMatch(/<vcpu [^>]*current='2'>4</)
  await done(horcrux, vms, 'delete', { id: 'seen' })
})

test('a guest with a saved memory has a reason for its status, and takes no change of hardware', async () => {
  const { horcrux, virsh } = guests
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
  expect(await done(horcrux, vms, 'start', { id: 'saved' })).toMatchObject({
    status: 'running',
    status_reason: null,
    memory: 256,
  })
  await virsh('managedsave', 'saved')
  await until(async () => (await read('saved')).status === 'stopped')
  await virsh('managedsave-remove', 'saved')
  expect(await horcrux.call(vms, 'update', { id: 'saved', memory: 512 })).toMatchObject({ memory: 512 })
  await done(horcrux, vms, 'delete', { id: 'saved' })
})

test('a running guest is adopted under another name; its domain keeps its own until the VM is renamed', async () => {
  const { horcrux, virsh, defineByHand } = guests
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
  const { horcrux, virsh, defineByHand } = guests
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
