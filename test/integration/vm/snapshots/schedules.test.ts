import mongoose from 'mongoose'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { asService } from '#shared/access/access.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { type Quota, snapshotQuotas } from '#shared/contracts/vm/snapshot-quotas.ts'
import { type Schedule, snapshotSchedules } from '#shared/contracts/vm/snapshot-schedules.ts'
import { snapshots } from '#shared/contracts/vm/snapshots.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { NotFoundError, ValidationError } from '#shared/errors.ts'
import { within } from '#shared/runtime/request-context.ts'
import { removeRulesWithoutOwner } from '../../../../services/vm/schedules/removal.ts'
import { type CloneLab, refusal, startCloneLab } from '../../../lab/guests/clones.ts'
import { done } from '../../../lab/product/run-operation.ts'
import { until } from '../../../lab/wait.ts'

let lab: CloneLab
beforeAll(async () => {
  lab = await startCloneLab()
})
afterAll(() => lab?.stop())
afterEach(() => lab.clear())

const yearly = { custom: { cron: '0 0 1 1 *' } }
const create = (more: object = {}) =>
  lab.horcrux.call(snapshotSchedules, 'create', {
    vm_id: 'cold',
    name: 'nightly',
    frequency: yearly,
    retention_count: 2,
    ...more,
  }) as Promise<Schedule>
/** Has a schedule find that it was due a while ago. */
const makeDue = (id: string, at: string) =>
  mongoose.connection
    .db!.collection<{ _id: string }>('snapshot-schedules')
    .updateOne({ _id: id }, { $set: { next_run: at } })
const named = async () =>
  (await lab.horcrux.call(snapshots, 'list', { id: 'cold' })).data.map(({ name }) => name).toSorted()
/** Has the snapshots of a schedule be taken while the clock was ahead. */
const setBack = (schedule_id: string) =>
  mongoose.connection
    .db!.collection('vm-snapshots')
    .updateMany({ schedule_id }, { $set: { created_at: '2099-01-01T00:00:00.000Z' } })
const ran = (id: string, due: string) =>
  until(
    async () => {
      const found = await lab.horcrux.call(snapshotSchedules, 'get', { id })
      return found.last_run === due && (found.last_snapshot_id !== null || found.last_error !== null) ? found : null
    },
    { what: `the run of ${due}` },
  )

test('a due time makes one snapshot over all replicas, and only the own surplus of the schedule is deleted', async () => {
  await lab.makeSource('cold')
  const replica = await lab.horcrux.startReplica('vm')
  await done(lab.horcrux, snapshots, 'create', { id: 'cold', name: 'nightly_of_a_person' })
  const { id } = await create()
  const person = 'nightly_of_a_person'
  // The clock is set back before each run: the snapshot of now is not taken for the oldest (V5).
  const runs = [
    { due: '2026-01-01T00:00:00.000Z', left: [person, 'nightly_20260101_000000'] },
    { due: '2026-01-02T00:00:00.000Z', left: [person, 'nightly_20260101_000000', 'nightly_20260102_000000'] },
    { due: '2026-01-03T00:00:00.000Z', left: [person, 'nightly_20260102_000000', 'nightly_20260103_000000'] },
  ]
  for (const { due, left } of runs) {
    await setBack(id)
    await makeDue(id, due)
    const { next_run, last_error } = await ran(id, due)
    expect(last_error).toBeNull()
    // Runs that were missed are made up for by one.
    expect(Date.parse(next_run!)).toBeGreaterThan(Date.now())
    await until(async () => (await named()).join() === left.toSorted().join(), { what: left.join() })
    await until(async () => (await lab.leftovers()).locks === 0, { what: 'the end of the run' })
  }
  await lab.horcrux.call(snapshotSchedules, 'delete', { id })
  expect(await named()).toHaveLength(3)
  await replica.kill()
})

test('a schedule goes on after a run that failed', async () => {
  await lab.makeSource('cold')
  // A guest that is off has no memory.
  const { id } = await create({ include_memory: true })
  await makeDue(id, '2026-01-01T00:00:00.000Z')
  const failed = await ran(id, '2026-01-01T00:00:00.000Z')
  expect(failed).toMatchObject({ enabled: true, last_error: expect.stringContaining('is off: it has no memory') })
  await lab.horcrux.call(snapshotSchedules, 'update', { id, include_memory: false })
  await makeDue(id, '2026-01-02T00:00:00.000Z')
  await until(async () => (await named()).length === 1, { what: 'the next run' })
  await lab.horcrux.call(snapshotSchedules, 'delete', { id })
})

test('a schedule that never comes, and a time zone that does not exist, are refused', async () => {
  await lab.makeSource('cold')
  const fieldsOf = async (more: object) =>
    (await refusal(create(more), ValidationError)).violations.map(({ field }) => field)
  expect(await fieldsOf({ frequency: { custom: { cron: '0 0 30 2 *' } } })).toEqual(['frequency'])
  expect(await fieldsOf({ frequency: { custom: { cron: 'now' } } })).toEqual(['frequency'])
  expect(await fieldsOf({ timezone: 'Europe/Atlantis' })).toEqual(['timezone'])
  const { id } = await create({ frequency: 'hourly', timezone: 'Europe/Berlin' })
  expect((await lab.horcrux.call(snapshotSchedules, 'preview', { id })).data).toHaveLength(20)
  await lab.horcrux.call(snapshotSchedules, 'delete', { id })
})

/** A turn of the vm service's sweep. */
const sweep = () => {
  const caller = asService('vm')
  return within({ broker: lab.horcrux.broker, service: 'vm', caller, requestId: 'sweep' }, removeRulesWithoutOwner)
}
const quotaFor = (scope: object) =>
  lab.horcrux.call(snapshotQuotas, 'create', { name: 'few', scope, max_count: 3 } as never) as Promise<Quota>
const idsOf = async (contract: typeof snapshotSchedules | typeof snapshotQuotas) =>
  (await lab.horcrux.call(contract, 'list', { limit: 1000 })).data.map(({ id }) => id)
const rules = async () => [...(await idsOf(snapshotSchedules)), ...(await idsOf(snapshotQuotas))].toSorted()
const sorted = (...of: { id: string }[]) => of.map(({ id }) => id).toSorted()

test('the schedules of a VM and the quotas of it alone go when it is deleted, and those of others stay', async () => {
  for (const id of ['cold', 'other']) await lab.makeSource(id)
  const [mine, others] = [await create(), await create({ vm_id: 'other' })]
  const few = await quotaFor({ kind: 'vm', vm_id: 'cold' })
  const kept = [await quotaFor({ kind: 'vm', vm_id: 'other' }), await quotaFor({ kind: 'global' })]
  expect(await rules()).toEqual(sorted(mine, others, few, ...kept))
  await done(lab.horcrux, vms, 'delete', { id: 'cold', purge: true })
  expect(await rules()).toEqual(sorted(others, ...kept))
  await refusal(create(), NotFoundError)
  // A later VM with the id inherits nothing, and keeps its own.
  await lab.makeSource('cold')
  const later = await create()
  await sweep()
  expect(await rules()).toEqual(sorted(others, later, ...kept))
})

test('the quotas of a deleted storage pool go, and those whose storage pool or VM is there stay', async () => {
  await lab.makeSource('cold')
  const gone = `gone-${Date.now()}`
  const place = { type: 'dir', node: 'hv1', path: `/var/lib/libvirt/images/${gone}` } as const
  await lab.horcrux.call(pools, 'create', { id: gone, ...place })
  const of = await quotaFor({ kind: 'pool', pool: gone })
  const kept = [
    await create(),
    await quotaFor({ kind: 'vm', vm_id: 'cold' }),
    await quotaFor({ kind: 'pool', pool: 'images' }),
    await quotaFor({ kind: 'global' }),
  ]
  await sweep()
  expect(await rules()).toEqual(sorted(of, ...kept))
  await lab.horcrux.call(pools, 'delete', { id: gone })
  await sweep()
  expect(await rules()).toEqual(sorted(...kept))
})

test('the schedules and quotas that an older version left behind of a deleted VM go too', async () => {
  await lab.makeSource('cold')
  const left = [await create(), await quotaFor({ kind: 'vm', vm_id: 'cold' })]
  const db = mongoose.connection.db!
  const [schedule, quota] = left.map(({ id }) => ({ _id: id }) as object)
  await db.collection('snapshot-schedules').updateOne(schedule!, { $set: { vm_id: 'long-gone' } })
  await db.collection('snapshot-quotas').updateOne(quota!, { $set: { 'scope.vm_id': 'long-gone' } })
  expect(await rules()).toEqual(sorted(...left))
  await sweep()
  expect(await rules()).toEqual([])
})
