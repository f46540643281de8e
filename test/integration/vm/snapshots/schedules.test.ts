import mongoose from 'mongoose'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type Schedule, snapshotSchedules } from '#shared/contracts/vm/snapshot-schedules.ts'
import { snapshots } from '#shared/contracts/vm/snapshots.ts'
import { ValidationError } from '#shared/errors.ts'
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
  (await lab.horcrux.call(snapshots, 'list', { id: 'cold' })).data
    .toSorted((a, b) => a.created_at.localeCompare(b.created_at))
    .map(({ name }) => name)
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
  const runs = [
    { due: '2026-01-01T00:00:00.000Z', left: [person, 'nightly_20260101_000000'] },
    { due: '2026-01-02T00:00:00.000Z', left: [person, 'nightly_20260101_000000', 'nightly_20260102_000000'] },
    { due: '2026-01-03T00:00:00.000Z', left: [person, 'nightly_20260102_000000', 'nightly_20260103_000000'] },
  ]
  for (const { due, left } of runs) {
    await makeDue(id, due)
    const { next_run, last_error } = await ran(id, due)
    expect(last_error).toBeNull()
    // Runs that were missed are made up for by one.
    expect(Date.parse(next_run!)).toBeGreaterThan(Date.now())
    await until(async () => (await named()).join() === left.join(), { what: left.join() })
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
