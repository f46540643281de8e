import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { guests } from '#shared/contracts/vm/guests.ts'
import { type Snapshot, snapshots } from '#shared/contracts/vm/snapshots.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { ConflictError } from '#shared/errors.ts'
import { type CloneLab, refusal, startCloneLab } from '../../../lab/guests/clones.ts'
import { runningSource } from '../../../lab/guests/running-source.ts'
import { done } from '../../../lab/product/run-operation.ts'

let lab: CloneLab
let guest: Awaited<ReturnType<typeof runningSource>>
beforeAll(async () => {
  lab = await startCloneLab()
  guest = await runningSource(lab)
})
afterAll(async () => {
  await guest?.stop()
  await lab?.stop()
})
afterEach(() => lab.clear())

const take = async (id: string, name: string, more: object = {}) =>
  (await done(lab.horcrux, snapshots, 'create', { id, name, ...more })) as Snapshot
const remove = (id: string, { id: snapshot_id }: Snapshot) =>
  done(lab.horcrux, snapshots, 'delete', { id, snapshot_id })
const restore = async (id: string, { id: snapshot_id }: Snapshot, more: object = {}) =>
  (await done(lab.horcrux, snapshots, 'restore', { id, snapshot_id, ...more })) as Vm
const undo = async (id: string) => (await done(lab.horcrux, snapshots, 'undoRestore', { id })) as Vm
const tree = (id: string) => lab.horcrux.call(snapshots, 'tree', { id })
const switchOff = (id: string) => done(lab.horcrux, vms, 'stop', { id, force: true })
/** Starts the guest, has it read its disks, and switches it off. @returns what it has said since */
async function read(id: string): Promise<string> {
  await done(lab.horcrux, vms, 'start', { id })
  await guest.isUp(id)
  const look = 'cat /mnt/file; for d in vdb vdc; do head -c 9 /dev/$d; echo; done; echo seen $((40+2))'
  await guest.types(id, look, 'seen 42')
  const said = await guest.serial(id)
  await switchOff(id)
  return said
}

test('a restored guest has what it wrote before the snapshot and nothing of later, and forward again', async () => {
  await guest.make('web')
  const write = (what: string) =>
    guest.types(
      'web',
      `echo file-${what} >>/mnt/file; for d in vdb vdc; do echo on-${what}-disk | dd of=/dev/$d conv=notrunc,fsync 2>/dev/null; done; echo wrote-${what} $((1+1))`,
      `wrote-${what} 2`,
    )
  await write('one')
  const first = await take('web', 'first', { description: 'before two' })
  expect(first).toMatchObject({
    state: 'ready',
    consistency: 'filesystem',
    frozen_filesystems: 1,
    vm_status: 'running',
    is_current: true,
    parent_id: null,
    memory_bytes: null,
  })
  expect(first.pause_ms).toBeGreaterThan(0)
  expect(first.size_bytes).toBeGreaterThan(0)
  expect(await lab.horcrux.call(guests, 'agent', { id: 'web' })).toMatchObject({ frozen: false, thaws_at: null })
  await write('two')
  const second = await take('web', 'second')
  expect(second.parent_id).toBe(first.id)
  await write('tri')
  const running = await refusal(restore('web', first), Error)
  expect(running.message).toContain('is running; to restore it')
  await switchOff('web')

  const restored = await restore('web', first)
  expect(restored.status).toBe('stopped')
  expect(restored.disks.map(({ id }) => id)).toEqual(['vda', 'vdb', 'vdc'])
  expect(await tree('web')).toMatchObject({ current: first.id, can_undo_restore: true })
  const saidFirst = await read('web')
  expect(saidFirst).toContain('file-one')
  expect(saidFirst).not.toContain('file-two')
  expect(saidFirst.match(/^on-one-di/gm)).toHaveLength(2)
  expect(await tree('web')).toMatchObject({ can_undo_restore: false })

  await restore('web', second)
  const saidSecond = await read('web')
  expect(saidSecond).toContain('file-two')
  expect(saidSecond).not.toContain('file-tri')
  expect(saidSecond.match(/^on-two-di/gm)).toHaveLength(2)

  // Undone before the guest has started, a restore changes nothing.
  await restore('web', first)
  await undo('web')
  expect(await tree('web')).toMatchObject({ current: second.id, can_undo_restore: false })
  const saidThird = await read('web')
  expect(saidThird).toContain('file-two')
  for (const each of [first, second]) await remove('web', each)
  expect(await read('web')).toContain('file-two')
  // The layers have gone with the snapshots.
  expect((await lab.world()).files.filter((name) => name.startsWith('web'))).toHaveLength(3)
})

test('snapshots of a guest that runs are deleted in any order while it writes on', async () => {
  await guest.make('busy', { agent: false })
  const taken: Snapshot[] = []
  for (const name of ['a', 'b', 'c', 'd']) {
    await guest.types(
      'busy',
      `echo now-${name}-0 | dd of=/dev/vdb conv=notrunc,fsync 2>/dev/null; echo put-${name} $((1+1))`,
      `put-${name} 2`,
    )
    taken.push(await take('busy', name))
  }
  expect(taken.map(({ consistency }) => consistency)).toEqual(['crash', 'crash', 'crash', 'crash'])
  const [a, b, c, d] = taken as [Snapshot, Snapshot, Snapshot, Snapshot]
  const { data } = await tree('busy')
  expect(data.map(({ name, depth }) => [name, depth])).toEqual([
    ['a', 0],
    ['b', 1],
    ['c', 2],
    ['d', 3],
  ])
  expect(data.every(({ deletion }) => deletion.bytes > 0 && deletion.obstacles.length === 0)).toBe(true)
  // The oldest, one in the middle, the newest.
  for (const each of [a, c, d]) {
    await remove('busy', each)
    await guest.types('busy', `head -c 9 /dev/vdb; echo; echo read-${each.name} $((2+2))`, `read-${each.name} 4`)
  }
  expect((await guest.serial('busy')).match(/^now-d-0/gm)).toHaveLength(3)
  expect((await lab.horcrux.call(vms, 'get', { id: 'busy' })).foreign_disks).toEqual([])
  expect(await tree('busy')).toMatchObject({ current: b.id, data: [{ name: 'b', parent_id: null }] })
  await switchOff('busy')
  await restore('busy', b)
  expect((await lab.world()).guests).toEqual(['busy stopped'])
  await done(lab.horcrux, vms, 'start', { id: 'busy' })
  await remove('busy', b)
  expect((await lab.horcrux.call(snapshots, 'list', { id: 'busy' })).total).toBe(0)
})

test('a snapshot with memory runs on from its moment', async () => {
  await guest.make('ram', { agent: false })
  await guest.types('ram', 'kept=in-memory-$((40+2)); echo first >/tmp/ram; echo set $((1+1))', 'set 2')
  const snapshot = await take('ram', 'warm', { include_memory: true })
  expect(snapshot).toMatchObject({ consistency: 'memory', vm_status: 'running' })
  expect(snapshot.memory_bytes).toBeGreaterThan(2 ** 20)
  await guest.types('ram', 'kept=later; echo on-disk-l | dd of=/dev/vdb conv=notrunc,fsync; echo put $((2+2))', 'put 4')
  await switchOff('ram')
  const restored = await restore('ram', snapshot, { restore_memory: true })
  expect(restored.status).toBe('running')
  await guest.types(
    'ram',
    'echo still-$kept; cat /tmp/ram; head -c 9 /dev/vdb | tr -d "\\0"; echo told $((3+3))',
    'told 6',
  )
  const said = await guest.serial('ram')
  expect(said).toContain('still-in-memory-42')
  expect(said).not.toContain('still-later')
  expect(said).not.toMatch(/^on-disk-l/m)
  // A snapshot of the running guest again, and off the memory.
  await remove('ram', snapshot)
})

test('a snapshot is refused with the reason: no memory, a name twice, a disk in no storage pool', async () => {
  await lab.makeSource('cold')
  const cold = await take('cold', 'one')
  expect(cold).toMatchObject({ vm_status: 'stopped', consistency: null, pause_ms: null })
  expect((await refusal(take('cold', 'one'), ConflictError)).message).toContain('already exists')
  await expect(take('cold', 'two', { include_memory: true })).rejects.toThrow(/is off: it has no memory/)
  await expect(lab.horcrux.call(vms, 'delete', { id: 'cold', purge: false })).rejects.toThrow(
    /has 1 snapshot\(s\), which need its disks/,
  )
  await remove('cold', cold)
  await done(lab.horcrux, vms, 'delete', { id: 'cold', purge: true })
})
