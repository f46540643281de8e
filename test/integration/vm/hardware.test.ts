import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { pools } from '#shared/contracts/storage/pools.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import type { ValidationError } from '#shared/errors.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { find } from '#shared/platform/find-requirement.ts'
import { haveBridge } from '../../lab/hosts/bridges.ts'
import { startGuests } from '../../lab/guests/guests.ts'
import { available } from '../../lab/requirements.ts'
import { until } from '../../lab/wait.ts'
import { done } from '../../lab/product/run-operation.ts'
import { labHosts } from '../../lab/hosts/lab.ts'

const GiB = 2 ** 30
const [host] = labHosts
let guests: Awaited<ReturnType<typeof startGuests>>

const create = (id: string, given: object = {}) =>
  done(guests.horcrux, vms, 'create', { id, name: id, memory: 256, cpus: 1, node: 'hv1', ...given }) as Promise<Vm>
const get = (id: string) => guests.horcrux.call(vms, 'get', { id })
const change = (id: string, given: object) => guests.horcrux.call(vms, 'update', { id, ...given })
async function remove(id: string): Promise<void> {
  if ((await get(id)).status !== 'stopped') await done(guests.horcrux, vms, 'stop', { id, force: true })
  await done(guests.horcrux, vms, 'delete', { id, purge: true })
}
async function refusal(given: object): Promise<string[]> {
  const params = { id: 'no', name: 'no', memory: 256, cpus: 1, node: 'hv1', ...given }
  const error = await guests.horcrux.call(vms, 'create', params).then(
    () => undefined,
    (reason: unknown) => reason as ValidationError,
  )
  return (error?.violations ?? []).map(({ field, message }) => `${field}: ${message}`)
}

beforeAll(async () => {
  guests = await startGuests(host!)
})
afterAll(() => guests?.horcrux.stop())

const emulators = { aarch64: 'UEFI firmware', riscv64: 'OpenSBI', ppc64le: 'SLOF' } as const
for (const [architecture, greeting] of Object.entries(emulators)) {
  const program = `qemu-system-${architecture === 'ppc64le' ? 'ppc64' : architecture}`
  const isThere = (await find(localHost(), { program })) !== null
  test.skipIf(!available('architectures', isThere ? [] : [program]))(
    `a guest of ${architecture} starts, and its firmware speaks on the serial console`,
    async () => {
      const id = architecture
      const vm = await create(id, { architecture, disks: [{ pool: 'images', size: GiB }], start: true })
      expect(vm).toMatchObject({ architecture, status: 'running', accel: 'tcg' })
      const serial = async () => (await guests.horcrux.call(vms, 'serial', { id })).text
      await until(async () => (await serial()).includes(greeting), { what: greeting })
      await remove(id)
    },
    60_000,
  )
}

test('hardware that the node or architecture lacks is refused, with the package that provides it', async () => {
  expect(
    await refusal({ architecture: 'riscv64', firmware: 'uefi', topology: { sockets: 1, cores: 1, threads: 1 } }),
  ).toEqual([
    "firmware: node 'hv1' has no UEFI for riscv64; Debian's package qemu-efi-riscv64 brings it",
    "topology: libvirt on node 'hv1' cannot say the processors of riscv64",
  ])
  const sata = [{ pool: 'images', size: GiB, bus: 'sata' }]
  expect(await refusal({ architecture: 'aarch64', firmware: 'bios', disks: sata })).toEqual([
    'firmware: aarch64 has only uefi',
    'disks.0.bus: aarch64 has only virtio, scsi',
  ])
  expect(await refusal({ cpu_model: 'host-passthrough' })).toEqual([
    expect.stringContaining("cpu_model: node 'hv1' cannot do host-passthrough; it can maximum"),
  ])
})

test('everything that a guest can be given is in its domain, and it starts', async () => {
  await haveBridge(host!, 'br7')
  const network = join(host!.dir, 'net.xml')
  await writeFile(network, "<network><name>quiet</name><bridge name='virbr77'/></network>")
  await guests.virsh('net-define', network)
  const nics = [{ network: 'quiet' }, { bridge: 'br7', mac: '52:54:00:77:00:01', model: 'e1000e' }]
  const topology = { sockets: 2, cores: 2, threads: 1 }
  const disks = ['virtio', 'scsi', 'sata'].map((bus) => ({ pool: 'images', size: GiB, bus }))
  const boot_order = ['network', 'sda', 'cdrom', 'vda']
  const given = {
    cpus: 2,
    max_cpus: 4,
    topology,
    cpu_model: 'qemu64',
    disks,
    nics,
    boot_order,
    balloon: 128,
    autostart: true,
  }
  expect(await refusal({ nics, memory: 256 })).toEqual([
    expect.stringContaining("network 'quiet' of node 'hv1' is not active"),
  ])
  await guests.virsh('net-start', 'quiet')
  const vm = await create('full', { ...given, firmware: 'uefi', start: true })
  expect(vm).toMatchObject({ ...topologyOf(given), nics: [{ network: 'quiet' }, { bridge: 'br7' }], autostart: true })
  const xml = await guests.virsh('dumpxml', '--inactive', 'full')
  expect(xml).toMatch(/<topology sockets='2' dies='1' cores='2' threads='1'\/>/)
  expect(xml).toContain('>qemu64</model>')
  expect(xml).toMatch(/<vcpu [^>]*current='2'>4</)
  expect(xml).toMatch(/<currentMemory unit='KiB'>131072</)
  expect([...xml.matchAll(/<boot order='(\d)'\/>/g)].map(([, order]) => order).toSorted()).toEqual(['1', '2', '3', '4'])
  expect(await guests.virsh('dominfo', 'full')).toMatch(/Autostart:\s+enable/)
  expect(await guests.virsh('domiflist', 'full')).toMatch(
    /network\s+quiet[\s\S]*bridge\s+br7\s+e1000e\s+52:54:00:77:00:01/,
  )
  await change('full', { autostart: false })
  expect(await guests.virsh('dominfo', 'full')).toMatch(/Autostart:\s+disable/)
  await remove('full')
})
const topologyOf = ({ topology, max_cpus, cpus }: { topology: object; max_cpus: number; cpus: number }) => ({
  topology,
  max_cpus,
  cpus,
})

test('a path that cannot be is a mistake of its field, also beside others', async () => {
  const long = `/var/lib/horcrux/${'a'.repeat(300)}`
  const fields = (refused: string[]) => refused.map((text) => text.split(':')[0])
  expect(fields(await refusal({ iso: long, boot: { kernel: long, initrd: long } }))).toEqual([
    'iso',
    'boot.kernel',
    'boot.initrd',
  ])
  const create = guests.horcrux.call(pools, 'create', { id: 'long', type: 'dir', node: 'hv1', path: long })
  await expect(create).rejects.toMatchObject({ violations: [{ field: 'path', code: 'path' }] })
  await expect(guests.horcrux.call(pools, 'get', { id: 'long' })).rejects.toThrow('not found')
})

test('what a guest is shown with can be sent back, nulls too', async () => {
  const { cpu_model, topology, balloon, max_cpus, boot_order, iso, boot } = await create('back', {
    cpu_model: 'maximum',
  })
  const shown = { topology, balloon, max_cpus, boot_order, iso, boot }
  expect(await change('back', { ...shown, cpu_model })).toMatchObject({ ...shown, cpu_model: 'maximum' })
  expect(await change('back', { cpu_model: null })).toMatchObject({ cpu_model: null, pending: [] })
  expect(await change('back', { cpu_model: null })).toMatchObject({ cpu_model: null })
  expect(await guests.virsh('dumpxml', '--inactive', 'back')).not.toContain("mode='maximum'")
  await done(guests.horcrux, vms, 'start', { id: 'back' })
  await remove('back')
})

test('a running guest takes a change at once where it can; the rest is pending, with current and next value', async () => {
  await create('grow', { memory: 512, max_cpus: 4, start: true })
  const at = await change('grow', { cpus: 3, description: 'bigger', tags: ['big'] })
  expect(at).toMatchObject({ cpus: 3, pending: [], pending_restart: false, tags: ['big'] })
  expect(await guests.virsh('vcpucount', 'grow', '--current', '--live')).toBe('3')
  expect(await guests.virsh('vcpucount', 'grow', '--current', '--config')).toBe('3')

  const more = await change('grow', { memory: 1024, cpus: 2, boot_order: ['network'], firmware: 'uefi' })
  expect(more.pending_restart).toBe(true)
  expect(more.pending).toEqual([
    { field: 'memory', current: 512, next: 1024 },
    { field: 'cpus', current: 3, next: 2 },
    { field: 'firmware', current: 'bios', next: 'uefi' },
    { field: 'boot_order', current: null, next: ['network'] },
  ])
  expect(await guests.virsh('dumpxml', '--inactive', 'grow')).toMatch(/<memory unit='KiB'>1048576</)
  expect(await guests.virsh('dumpxml', 'grow')).toMatch(/<memory unit='KiB'>524288</)
  const back = await change('grow', { memory: 512, cpus: 3, boot_order: null })
  expect(back.pending.map(({ field }) => field)).toEqual(['firmware'])

  await done(guests.horcrux, vms, 'restart', { id: 'grow', force: true, timeout: 1 })
  expect(await get('grow')).toMatchObject({ pending: [], pending_restart: false, firmware: 'uefi', status: 'running' })
  await remove('grow')
})

test('pending changes are applied by a start with virsh, and changes made with virsh are shown', async () => {
  await create('edited', { start: true })
  await change('edited', { memory: 384 })
  await guests.virsh('destroy', 'edited')
  await guests.virsh('start', 'edited')
  await until(async () => (await get('edited')).pending.length === 0)
  const xml = await guests.virsh('dumpxml', '--inactive', '--security-info', 'edited')
  const edited = xml
    .replace(/<(memory|currentMemory) unit='KiB'>\d+/g, "<$1 unit='KiB'>655360")
    .replace(
      '<os>',
      "<sysinfo type='smbios'><bios><entry name='vendor'>Me</entry></bios></sysinfo><os><smbios mode='sysinfo'/>",
    )
    .replace('</devices>', "<watchdog model='i6300esb' action='reset'/></devices>")
  await guests.defineByHand('edited', edited)
  const pending = [{ field: 'memory', current: 384, next: 640 }]
  await until(async () => (await get('edited')).pending.length === 1)
  expect(await get('edited')).toMatchObject({ memory: 640, pending })
  await change('edited', { cpus: 2 })
  const after = await guests.virsh('dumpxml', '--inactive', 'edited')
  for (const kept of ['>Me<', 'i6300esb', '655360', '>2</vcpu>', "mode='sysinfo'"]) expect(after).toContain(kept)
  await remove('edited')
})

test('of machines that ask for one address at the same time one gets it', async () => {
  await haveBridge(host!, 'br7')
  const nics = [{ bridge: 'br7', mac: '52:54:00:77:00:0f' }]
  const tries = await Promise.allSettled(Array.from({ length: 8 }, (_, index) => create(`same-${index}`, { nics })))
  const won = tries.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
  expect(won).toHaveLength(1)
  for (const one of tries)
    if (one.status === 'rejected')
      expect((one.reason as Error).message).toMatch(/mac 52:54:00:77:00:0f is held by|belongs to another NIC/)
  await remove(won[0]!.id)
})
