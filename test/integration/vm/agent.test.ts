import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { consoles } from '#shared/contracts/vm/consoles.ts'
import { guests } from '#shared/contracts/vm/guests.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { guestPrefix } from '../../../tools/tiny-guest/tiny-guest.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { guestOn } from '../../lab/guests/tiny-guest.ts'
import { startGuests } from '../../lab/guests/guests.ts'
import { until } from '../../lab/wait.ts'
import { done, work } from '../../lab/product/run-operation.ts'
import { labHosts } from '../../lab/hosts/lab.ts'

const GiB = 2 ** 30
const [host] = labHosts
const id = 'asked'
const mac = '52:54:00:00:00:91'
let lab: Awaited<ReturnType<typeof startGuests>>

const serial = async () => (await lab.horcrux.call(vms, 'serial', { id })).text
/** What is typed is shown as well: it must not have these words. */
const hasSaid = async (words: string) => (await serial()).includes(words)
const types = (line: string) => lab.horcrux.call(consoles, 'write', { id, text: `${line}\n` })
const agent = () => lab.horcrux.call(guests, 'agent', { id })

beforeAll(async () => {
  lab = await startGuests(host!)
  const boot = await guestOn(host!, { agent: true })
  await done(lab.horcrux, volumes, 'create', { id: 'images', name: 'data', size: GiB, format: 'raw' })
  await localHost().runChecked('mkfs.ext4', ['-q', '-F', join(host!.dir, 'pool/data.raw')])
  await localHost().runChecked('ip', ['-n', host!.netns, 'link', 'add', 'br9', 'type', 'bridge'])
  const given = { disks: [{ pool: 'images', volume: 'data' }], nics: [{ bridge: 'br9', mac }] }
  await done(lab.horcrux, vms, 'create', { id, name: id, memory: 256, cpus: 1, node: 'hv1', boot, ...given })
})
afterAll(() => lab?.horcrux.stop())

test('without an agent a guest is not connected, and actions that need the agent say so', async () => {
  expect(await agent()).toMatchObject({ connected: false, version: null, frozen: null, reason: expect.any(String) })
  await expect(lab.horcrux.call(guests, 'freeze', { id })).rejects.toThrow('is stopped')
  await done(lab.horcrux, vms, 'create', { id: 'mute', name: 'mute', memory: 128, cpus: 1, node: 'hv1', start: true })
  const view = await lab.horcrux.call(guests, 'agent', { id: 'mute' })
  expect(view).toMatchObject({ connected: false, reason: expect.stringContaining('not connected'), os: null })
  await expect(lab.horcrux.call(guests, 'freeze', { id: 'mute' })).rejects.toThrow('No agent answers')
  const ended = await work(lab.horcrux, vms, 'shutdown', { id: 'mute', mode: 'agent', timeout: 2 })
  expect(ended).toMatchObject({ state: 'failed', error: { message: expect.stringMatching(/agent/) } })
  await done(lab.horcrux, vms, 'stop', { id: 'mute' })
  await done(lab.horcrux, vms, 'delete', { id: 'mute' })
})

test('the agent of a guest tells its version, system, name, addresses and file systems', async () => {
  await done(lab.horcrux, vms, 'start', { id })
  await until(async () => (await agent()).connected, { what: 'the agent', intervalMs: 500 })
  await types('hostname tiny; ip addr add 10.1.2.3/24 dev eth0; echo $((40 + 2)) set')
  await until(() => hasSaid('42 set'), { what: 'the shell' })
  const view = await agent()
  expect(view).toMatchObject({ connected: true, reason: null, hostname: 'tiny', frozen: false, thaws_at: null })
  expect(view.version).toMatch(/^\d+\.\d+/)
  expect(view.os).toMatchObject({ kernel: expect.stringMatching(/^\d/), machine: 'x86_64' })
  expect(view.interfaces).toContainEqual({ name: 'eth0', mac, addresses: expect.arrayContaining(['10.1.2.3/24']) })
  expect(view.filesystems).toMatchObject([{ name: 'vda', mountpoint: '/mnt', type: 'ext4' }])
})

test('a frozen guest writes nothing until it is thawed', async () => {
  expect(await lab.horcrux.call(guests, 'freeze', { id, seconds: 300 })).toMatchObject({ filesystems: 1 })
  expect(await agent()).toMatchObject({ connected: true, frozen: true, thaws_at: expect.any(String) })
  await types('(echo x >/mnt/file; sync; echo written $((1 + 1))) & echo asked $((1 + 1))')
  await until(() => hasSaid('asked 2'), { what: 'the shell' })
  // It is asked after the write has been begun, and again: nothing has been written.
  expect((await agent()).frozen).toBe(true)
  expect(await hasSaid('written 2')).toBe(false)
  expect(await lab.horcrux.call(guests, 'thaw', { id })).toMatchObject({ filesystems: 1, thaws_at: null })
  await until(() => hasSaid('written 2'), { what: 'what was held back' })
  expect(await agent()).toMatchObject({ frozen: false, thaws_at: null })
})

test('a frozen guest is thawed at its time limit by another replica when the one that froze it was killed', async () => {
  const replica = await lab.horcrux.startReplica('vm')
  const meta = { caller: { kind: 'service', name: 'test' }, requestId: 'test' }
  await lab.horcrux.broker.call('guests.freeze', { id, seconds: 3 }, { nodeID: replica.nodeId, meta })
  expect((await agent()).frozen).toBe(true)
  await replica.kill()
  await until(async () => (await agent()).frozen === false, { what: 'the thaw', intervalMs: 300 })
  await until(async () => (await agent()).thaws_at === null, { what: 'the record of it' })
})

test("QEMU's monitor answers queries and nothing else", async () => {
  const ask = (execute: string, words?: object) =>
    lab.horcrux.call(guests, 'monitor', { id, execute, ...(words && { arguments: words }) })
  expect(await ask('query-block-jobs')).toMatchObject({ vm_id: id, execute: 'query-block-jobs', result: [] })
  expect((await ask('query-cpus-fast')).result).toMatchObject([{ 'cpu-index': 0, target: 'x86_64' }])
  expect((await ask('query-stats', { target: 'vm' })).result).toEqual(expect.any(Array))
  await expect(ask('system_powerdown')).rejects.toMatchObject({ violations: [{ field: 'execute' }] })
  await expect(ask('quit')).rejects.toMatchObject({ violations: [{ field: 'execute' }] })
  await expect(ask('query-nothing')).rejects.toThrow('QEMU')
})

test('a guest shuts down when its agent is asked', async () => {
  const vm = (await done(lab.horcrux, vms, 'shutdown', { id, mode: 'agent', timeout: 30 })) as Vm
  expect(vm.status).toBe('stopped')
  expect(await serial()).toContain(`${guestPrefix} agent shutdown`)
  expect(await serial()).not.toContain('power button')
  await done(lab.horcrux, vms, 'delete', { id, purge: true })
})
