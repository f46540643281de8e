import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { cloneJobs } from '#shared/contracts/vm/clone-jobs.ts'
import { devices } from '#shared/contracts/vm/devices.ts'
import { guests } from '#shared/contracts/vm/guests.ts'
import { type Operation, operations } from '#shared/contracts/core/operations.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { ConflictError } from '#shared/errors.ts'
import { type CloneLab, refusal, startCloneLab } from '../../../lab/guests/clones.ts'
import { runningSource } from '../../../lab/guests/running-source.ts'
import { until } from '../../../lab/wait.ts'
import { done, work } from '../../../lab/product/run-operation.ts'

const GiB = 2 ** 30
let lab: CloneLab
let source: Awaited<ReturnType<typeof runningSource>>
beforeAll(async () => {
  lab = await startCloneLab()
  source = await runningSource(lab)
})
afterAll(async () => {
  await source?.stop()
  await lab?.stop()
})
afterEach(() => lab.clear())

const begin = async (id: string, more: object = {}) =>
  (await lab.horcrux.call(vms, 'clone', {
    vm: id,
    id: 'copy',
    name: 'copy',
    mode: 'full',
    ...more,
  })) as unknown as Operation
const ended = ({ id }: Operation) => lab.horcrux.call(operations, 'wait', { id, timeout: 60 }, { timeoutMs: 65_000 })
const copiedMib = async (job: Operation) => (await lab.jobOf(job)).bytes_copied / 2 ** 20
/** What the log says of how the copy was begun. */
const linesOf = async ({ id }: Operation) =>
  (await lab.horcrux.call(operations, 'log', { id })).data.filter(({ message }) => /frozen|consistent/.test(message))

test('the clone of a running guest has its latest writes, because its file systems are frozen when the copy begins', async () => {
  await source.make('live')
  // It is not synced: only the freeze brings it to the disk.
  await source.types('live', 'echo kept-$((40+2)) >/mnt/file; echo written $((1+1))', 'written 2')
  await source.types('live', 'echo on-two-$((6*7)) | dd of=/dev/vdb conv=fsync; echo done $((2+1))', 'done 3')
  const job = await begin('live', { start: true })
  const { state, error } = await ended(job)
  expect([state, error]).toEqual(['succeeded', null])
  expect(await lab.jobOf(job)).toMatchObject({
    consistency: 'filesystem',
    status: 'succeeded',
    stage: 'finalizing',
    progress_percent: 100,
    total_bytes: 3 * GiB,
    bytes_copied: 3 * GiB,
  })
  expect((await linesOf(job)).map(({ message }) => message)).toEqual([
    "The file systems of 'live' were frozen when the copy began",
  ])
  expect(await lab.horcrux.call(guests, 'agent', { id: 'live' })).toMatchObject({ frozen: false, thaws_at: null })
  await source.types('live', 'echo more >/mnt/more; sync; echo thawed $((2+2))', 'thawed 4')

  await source.isUp('copy')
  await source.types('copy', 'cat /mnt/file; ls /mnt; head -c 9 /dev/vdb; echo; echo read $((3+2))', 'read 5')
  const said = await source.serial('copy')
  expect(said).toContain('kept-42')
  expect(said).toContain('on-two-42')
  // What came later is the source's alone.
  expect(said).not.toMatch(/^more\b/m)
  await done(lab.horcrux, vms, 'stop', { id: 'copy', force: true })
  // An empty gibibyte stays sparse.
  for (const file of ['copy-disk-1.qcow2', 'copy-disk-2.raw'])
    expect((await lab.images.info(file))['actual-size']).toBeLessThan(32 * 2 ** 20)
})

test('all disks are copied as they were at one moment, while the guest writes on', async () => {
  await source.make('busy', { agent: false, filledMib: 2000 })
  // Each number is on the second disk only once it is on the first.
  const put = (disk: string) => `printf %08d $i | dd of=/dev/${disk} conv=notrunc,fsync 2>/dev/null`
  const loop = `i=0; while :; do i=$((i+1)); ${put('vdb')}; ${put('vdc')}; done &`
  await source.types('busy', `${loop} sleep 2; echo counting $((1+1))`, 'counting 2')
  const job = await begin('busy')
  await source.limit('busy', 200)
  expect((await ended(job)).state).toBe('succeeded')
  expect((await lab.jobOf(job)).consistency).toBe('crash')
  const numberIn = async (file: string) => {
    const words = ['dd', '-f', file.slice(file.lastIndexOf('.') + 1), '-O', 'raw', 'bs=512', 'count=1']
    const to = `/tmp/${file}.first`
    await lab.images.host.runChecked('qemu-img', [...words, `if=${lab.images.pathOf(file)}`, `of=${to}`])
    const bytes = await lab.images.host.readFile(to)
    await lab.images.host.remove(to)
    return Number(bytes.toString('latin1', 0, 8))
  }
  const [first, second] = [await numberIn('copy-disk-1.qcow2'), await numberIn('copy-disk-2.raw')]
  process.stdout.write(`  copied at number ${first} and ${second}\n`)
  expect(second).toBeGreaterThan(0)
  expect(first - second).toBeOneOf([0, 1])
  await done(lab.horcrux, vms, 'stop', { id: 'busy', force: true })
  // Both went on while the copy was made.
  expect(await numberIn('busy-disk-1.qcow2')).toBeGreaterThan(first)
})

test('a clone of a running guest cancelled midway leaves no file and no job, and the guest runs on', async () => {
  await source.make('live', { agent: false, filledMib: 2000 })
  const before = await lab.world()
  const run = await source.virsh('domid', 'live')
  const job = await begin('live')
  await source.limit('live', 1)
  await until(async () => (await lab.jobOf(job)).stage === 'cloning_disk', { what: 'the copy' })
  // libvirt tells of it a moment later than QEMU.
  await until(async () => (await lab.world()).jobs[0]?.startsWith('live '), { what: 'the copy of libvirt' })
  await lab.horcrux.call(cloneJobs, 'cancel', { id: job.id })
  expect((await ended(job)).state).toBe('cancelled')
  expect(await lab.world()).toEqual(before)
  expect((await lab.leftovers()).locks).toBe(0)
  expect(await source.virsh('domid', 'live')).toBe(run)
  await source.types('live', 'echo alive $((1+1))', 'alive 2')
})

test("a replica that takes over a clone continues with QEMU's running copy", async () => {
  await source.make('live', { boots: false, filledMib: 2000 })
  // The limit is there before the copy, which takes a second at full speed; limited it outlasts the takeover.
  const [job] = await Promise.all([begin('live'), source.limit('live', 5)])
  const reached = await until(async () => ((await copiedMib(job)) > 10 ? copiedMib(job) : null), {
    what: 'some bytes',
  })
  await lab.takeOver()
  const after = await until(async () => ((await copiedMib(job)) > reached ? copiedMib(job) : null), {
    what: 'more bytes',
  })
  expect(after).toBeGreaterThan(reached)
  await source.limit('live', 0)
  expect((await ended(job)).state).toBe('succeeded')
  // It was begun once.
  expect(await linesOf(job)).toHaveLength(1)
})

test('a copy that was aborted during a takeover is made again or fails with the reason', async () => {
  await source.make('live', { boots: false, filledMib: 2000 })
  const job = await begin('live')
  // So slow that little left to copy lasts until the abort: the limit is set late on a busy machine.
  await source.limit('live', 1)
  await until(async () => (await copiedMib(job)) > 0, { what: 'some bytes' })
  // The abort comes from outside, between two polls of ours or of two processes.
  const aborting = source.virsh('domjobabort', 'live').catch((error: Error) => {
    // The copy was whole before the abort came.
    if (!error.message.includes('no job is active')) throw error
  })
  await Promise.all([lab.takeOver(), aborting])
  const { state, error } = await ended(job)
  expect(['succeeded', 'failed']).toContain(state)
  if (state === 'failed') expect(error?.message).toMatch(/QEMU ended the copy of 'live' before it was whole/)
  expect((await lab.world()).jobs).toEqual([])
})

test('a guest that virsh switches off during the copy fails the clone, which leaves no disks', async () => {
  await source.make('live', { boots: false, filledMib: 2000 })
  const job = await begin('live')
  await source.limit('live', 1)
  await source.virsh('destroy', 'live')
  const { state, error } = await ended(job)
  expect(state).toBe('failed')
  expect(error?.message).toMatch(/QEMU ended the copy|was switched off/)
  const { files, volumes } = await lab.world()
  expect([...files, ...volumes].filter((name) => name.includes('copy'))).toEqual([])
})

test('a guest that is being copied cannot be stopped, changed or copied again; a running guest has no linked clones', async () => {
  await source.make('live', { boots: false, filledMib: 2000 })
  const job = await begin('live')
  await source.limit('live', 1)
  const { horcrux } = lab
  const again = await refusal(begin('live', { id: 'other', name: 'other' }), ConflictError)
  expect(again.message).toMatch(/copy of running live is held by operation .*vms\.clone/)
  for (const ask of [
    () => horcrux.call(vms, 'stop', { id: 'live' }),
    () => horcrux.call(vms, 'update', { id: 'live', memory: 512 }),
    () => horcrux.call(devices, 'attachDisk', { id: 'live', pool: 'images', size: GiB }),
    () => horcrux.call(guests, 'freeze', { id: 'live', seconds: 1 }),
  ])
    expect((await refusal(ask(), ConflictError)).message).toMatch(/\/api\/vms\/live is held by operation/)
  await source.limit('live', 0)
  expect((await ended(job)).state).toBe('succeeded')

  const linked = await refusal(begin('live', { id: 'other', name: 'other', mode: 'linked' }), ConflictError)
  expect(linked.message).toMatch(/is running: a linked clone would read disks that it writes/)
  // SATA is never plugged in: the disk waits for the next start.
  await done(horcrux, devices, 'attachDisk', { id: 'live', pool: 'images', size: GiB, bus: 'sata' })
  const waiting = await refusal(begin('live', { id: 'other', name: 'other' }), ConflictError)
  expect(waiting.message).toMatch(/is running: it has other disks from its next start on/)
})

test('a paused guest is cloned as it stands, with its read-only disks', async () => {
  const base = await lab.makeSource('base')
  await done(lab.horcrux, vms, 'delete', { id: 'base' })
  const disks = [
    { pool: 'images', volume: base.disks[0]!.volume, readonly: true },
    { pool: 'images', size: GiB },
  ]
  const given = { id: 'still', name: 'still', memory: 128, cpus: 1, node: 'hv1', disks, start: true }
  await done(lab.horcrux, vms, 'create', given)
  await done(lab.horcrux, vms, 'pause', { id: 'still' })
  const job = await work(lab.horcrux, vms, 'clone', { vm: 'still', id: 'copy', name: 'copy', mode: 'full' })
  expect([job.state, job.error]).toEqual(['succeeded', null])
  expect(job.steps.map(({ name }) => name)).toEqual([
    'preparing',
    'cloning_disk vda',
    'cloning_disk begin',
    'cloning_disk',
    'cloning_disk in place',
    'generating_macs',
    'finalizing domain',
    'finalizing record',
  ])
  expect((await lab.jobOf(job)).consistency).toBe('crash')
  expect(await lab.images.holds('copy-disk-0.qcow2', 0xa1, 0, 16)).toBe(true)
  expect((await lab.horcrux.call(vms, 'get', { id: 'copy' })).disks.map(({ id, volume }) => [id, volume])).toEqual([
    ['vda', 'copy-disk-0'],
    ['vdb', 'copy-disk-1'],
  ])
  expect((await lab.horcrux.call(vms, 'get', { id: 'still' })).status).toBe('paused')
})
