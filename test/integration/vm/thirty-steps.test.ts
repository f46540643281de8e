import { basename, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { buildTinyGuest, guestPrefix } from '../../../tools/tiny-guest/tiny-guest.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { startGuests } from '../../lab/guests/guests.ts'
import { until } from '../../lab/wait.ts'
import { done } from '../../lab/product/run-operation.ts'
import { labHosts } from '../../lab/hosts/lab.ts'

const GiB = 2 ** 30
const [host] = labHosts
const id = 'life'
let guests: Awaited<ReturnType<typeof startGuests>>
let boot: { kernel: string; initrd: string; cmdline: string }

beforeAll(async () => {
  guests = await startGuests(host!)
  const built = await buildTinyGuest(localHost(), join(host!.dir, 'guest'))
  const asSeen = (path: string) => join('/var/lib/libvirt/images/guest', basename(path))
  boot = { ...built, kernel: asSeen(built.kernel), initrd: asSeen(built.initrd) }
})
afterAll(() => guests?.horcrux.stop())

const ours =
  (action: keyof typeof vms.actions, given: object = {}) =>
  () =>
    done(guests.horcrux, vms, action, { id, ...given })
const patch = (given: object) => () => guests.horcrux.call(vms, 'update', { id, ...given })
const virsh =
  (command: string, ...words: string[]) =>
  () =>
    guests.virsh(command, id, ...words)
const get = () => guests.horcrux.call(vms, 'get', { id })
const memoryNow = async () => (await guests.horcrux.call(vms, 'stats', { id })).memory_mib

async function boots(): Promise<void> {
  const serial = async () => (await guests.horcrux.call(vms, 'serial', { id })).text
  const isUp = async () => (await serial()).includes(`${guestPrefix} up`)
  await until(isUp, { what: 'the guest' }).catch(async (error: Error) => {
    throw new Error(`${error.message}; it said: ${(await serial()).slice(-2000)}`, { cause: error })
  })
}

/** An action, and the fields that GET shows after it. */
type Step = [what: string, act: () => Promise<unknown>, then: Partial<Vm>]
const running = { status: 'running' as const }
const paused = { status: 'paused' as const }
const stopped = { status: 'stopped' as const, pending: [], pending_restart: false }
const waits = (field: string, current: unknown, next: unknown) => ({
  pending: [{ field, current, next }],
  pending_restart: true,
})
const none = { pending: [], pending_restart: false }

const steps = (): Step[] => [
  ['create', () => done(guests.horcrux, vms, 'create', given()), { ...stopped, memory: 512 }],
  ['patch while off', patch({ description: 'thirty', tags: ['a'], max_cpus: 4 }), { ...stopped, max_cpus: 4 }],
  ['start', ours('start'), running],
  ['the guest boots', boots, running],
  ['virsh suspend', virsh('suspend'), paused],
  ['resume', ours('resume'), running],
  ['pause', ours('pause'), paused],
  ['virsh resume', virsh('resume'), running],
  ['patch cpus, live', patch({ cpus: 2 }), { ...running, ...none, cpus: 2 }],
  ['patch memory', patch({ memory: 640 }), { ...running, memory: 640, ...waits('memory', 512, 640) }],
  ['virsh destroy', virsh('destroy'), { ...stopped, memory: 640 }],
  ['virsh start', virsh('start'), { ...running, ...none, memory: 640 }],
  ['the guest boots again', boots, running],
  ['balloon', patch({ balloon: 384 }), { ...running, ...none, balloon: 384 }],
  ['the guest gives memory', () => until(async () => (await memoryNow()) === 384), running],
  ['virsh setmem', virsh('setmem', '512M', '--live'), running],
  ['the guest takes memory', () => until(async () => (await memoryNow()) === 512), running],
  ['balloon away', patch({ balloon: null }), { ...running, ...none, balloon: null }],
  ['reset', ours('reset'), running],
  ['patch cpus down', patch({ cpus: 1 }), { ...running, cpus: 1, ...waits('cpus', 2, 1) }],
  ['restart by force', ours('restart', { force: true, timeout: 1 }), { ...running, ...none, cpus: 1 }],
  ['the guest boots anew', boots, running],
  ['virsh shutdown', virsh('shutdown'), stopped],
  ['virsh setvcpus and start', setAndStart, { ...running, cpus: 3, ...none }],
  ['the guest is up', boots, running],
  ['shutdown', ours('shutdown', { timeout: 60 }), stopped],
  ['protect', patch({ protected: true }), { ...stopped, protected: true }],
  ['a refused delete', refusedDelete, { ...stopped, protected: true }],
  ['unprotect', patch({ protected: false }), { ...stopped, protected: false }],
  ['start paused by virsh', virsh('start', '--paused'), paused],
  ['stop', ours('stop', { force: true }), stopped],
]
const given = () => ({ id, name: id, memory: 512, cpus: 1, node: 'hv1', boot, disks: [{ pool: 'images', size: GiB }] })
async function setAndStart(): Promise<void> {
  await guests.virsh('setvcpus', id, '3', '--config')
  await guests.virsh('start', id)
}
const isOff = async () => (await guests.virsh('domstate', id)) === 'shut off'
const refusedDelete = () => expect(guests.horcrux.call(vms, 'delete', { id })).rejects.toThrow('protected')

test('a life of thirty steps, with virsh interfering: GET shows the state after each', async () => {
  const all = steps()
  expect(all.length).toBeGreaterThanOrEqual(30)
  for (const [what, act, then] of all) {
    await act()
    // The guest takes its time to shut down.
    if (what === 'virsh shutdown') await until(isOff, { what })
    const isTold = async () => {
      expect(await get()).toMatchObject(then)
      return true
    }
    await until(isTold, { what })
  }
  await done(guests.horcrux, vms, 'delete', { id, purge: true })
  expect(await guests.virsh('list', '--all', '--name')).not.toContain(id)
}, 900_000)
