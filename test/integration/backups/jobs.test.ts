import mongoose from 'mongoose'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { asService } from '#shared/access/access.ts'
import { resourcePools } from '#shared/contracts/access/resource-pools.ts'
import { type BackupJob, backupJobs, type Outcome, type RetentionPlan } from '#shared/contracts/storage/backup-jobs.ts'
import { type Backup, backups, backupStores } from '#shared/contracts/storage/backups.ts'
import { operations } from '#shared/contracts/core/operations.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { type Snapshot, snapshots } from '#shared/contracts/vm/snapshots.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { ConflictError, NotFoundError, PreconditionFailedError, ValidationError } from '#shared/errors.ts'
import { collectDue } from '../../../services/storage/backups/jobs/collect-due.ts'
import { within } from '#shared/runtime/request-context.ts'
import { type CloneLab, refusal, startCloneLab } from '../../lab/guests/clones.ts'
import { done, work } from '../../lab/product/run-operation.ts'
import { until } from '../../lab/wait.ts'

let lab: CloneLab
beforeAll(async () => {
  lab = await startCloneLab()
})
afterAll(() => lab?.stop())
afterEach(() => lab.clear())

let tries = 0
const newStore = async () => (await lab.horcrux.call(pools, 'create', { id: `store-${++tries}`, type: 'dir' })).id
const create = async (selection: object, more: object = {}) =>
  lab.horcrux.call(backupJobs, 'create', {
    name: 'nightly',
    selection,
    pool: await newStore(),
    ...more,
  } as never) as Promise<BackupJob>
const jobOf = (id: string) => lab.horcrux.call(backupJobs, 'get', { id })
const run = async (id: string) =>
  (await done(lab.horcrux, backupJobs, 'run', { id })) as { outcomes: Outcome[]; deleted: string[] }
const states = (outcomes: Outcome[]) => outcomes.map(({ vm_id, state }) => `${vm_id} ${state}`).toSorted()
const ofJob = async (id: string) =>
  (await lab.horcrux.call(backups, 'list', { filter: `job_id:${id}` })).data.map(({ vm_id }) => vm_id).toSorted()
const yearly = { custom: { cron: '0 0 1 1 *' } }

test('a job backs up what its tag or resource pool has at the run, and one that fails does not end it', async () => {
  for (const id of ['web', 'mail']) await lab.makeSource(id, { tags: ['prod'] })
  await lab.makeSource('other')
  const empty = { id: 'empty', name: 'empty', memory: 128, cpus: 1, node: 'hv1', disks: [], tags: ['prod'] }
  await done(lab.horcrux, vms, 'create', empty)
  const byTag = await create({ kind: 'tag', tag: 'prod' }, { per_node: 2 })
  const { outcomes } = await run(byTag.id)
  expect(states(outcomes)).toEqual(['empty skipped', 'mail succeeded', 'web succeeded'])
  expect(await ofJob(byTag.id)).toEqual(['mail', 'web'])
  expect((await jobOf(byTag.id)).last_run).toMatchObject({ state: 'succeeded', succeeded: 2, failed: 0, skipped: 1 })

  const overdue = () => lab.horcrux.call(backupJobs, 'summary', {})
  await lab.horcrux.call(backupJobs, 'update', { id: byTag.id, max_age_hours: 24 })
  expect(await overdue()).toMatchObject({ overdue: 0, data: [] })
  const longAgo = '2026-01-01T00:00:00.000Z'
  await mongoose.connection
    .db!.collection('backups')
    .updateOne({ job_id: byTag.id, vm_id: 'mail' }, { $set: { taken_at: longAgo } })
  const mail = { job_id: byTag.id, vm_id: 'mail', newest: longAgo }
  expect(await overdue()).toMatchObject({ overdue: 1, data: [mail] })

  const team = `team-${tries}`
  await lab.horcrux.call(resourcePools, 'create', { id: team, name: team })
  for (const member of ['web', 'other'])
    await lab.horcrux.call(resourcePools, 'putMember', { id: team, kind: 'vm', member })
  const byPool = await create({ kind: 'resource_pool', resource_pool: team })
  // One that was restored and has not started since takes no snapshot: it fails, the other one is backed up.
  const taken = (await done(lab.horcrux, snapshots, 'create', { id: 'other', name: 'before' })) as Snapshot
  await done(lab.horcrux, snapshots, 'restore', { id: 'other', snapshot_id: taken.id })
  const failed = await work(lab.horcrux, backupJobs, 'run', { id: byPool.id })
  expect(failed).toMatchObject({ state: 'failed', error: { message: expect.stringContaining('other') as string } })
  const { outcomes: told } = failed.error!.details as { outcomes: Outcome[] }
  expect(states(told)).toEqual(['other failed', 'web succeeded'])
  expect((await jobOf(byPool.id)).last_run).toMatchObject({ state: 'failed', succeeded: 1, failed: 1 })
  expect(await ofJob(byPool.id)).toEqual(['web'])
  await lab.horcrux.call(resourcePools, 'delete', { id: team })
})

test('a due time has one run over all replicas, and runs that were missed are told and made up for by one', async () => {
  await lab.makeSource('web')
  const replica = await lab.horcrux.startReplica('storage')
  const { id } = await create({ kind: 'vm', vm_id: 'web' }, { frequency: yearly, timezone: 'Europe/Berlin' })
  const due = '2023-12-31T23:00:00.000Z'
  await mongoose.connection
    .db!.collection<{ _id: string }>('backup-jobs')
    .updateOne({ _id: id }, { $set: { next_run: due } })
  const { last_run, next_run } = await until(
    async () => {
      const job = await jobOf(id)
      return job.last_run?.ended_at ? job : null
    },
    { what: 'the run' },
  )
  expect(last_run).toMatchObject({ due, state: 'succeeded', succeeded: 1 })
  // Those of the years since then.
  expect(last_run!.missed).toBe(new Date(next_run!).getUTCFullYear() - 2024)
  expect(Date.parse(next_run!)).toBeGreaterThan(Date.now())
  expect(await ofJob(id)).toEqual(['web'])
  await replica.kill()
})

test('a run is stopped: the backup that is being made is cancelled, and no more begin', async () => {
  for (const id of ['web', 'mail']) await lab.makeSource(id, { tags: ['slow'] })
  const { id } = await create({ kind: 'tag', tag: 'slow' }, { bandwidth_mib: 1 })
  await refusal(lab.horcrux.call(backupJobs, 'stop', { id }), ConflictError)
  const ended = work(lab.horcrux, backupJobs, 'run', { id })
  await until(async () => (await ofJob(id)).length === 1, { what: 'the first backup' })
  await refusal(lab.horcrux.call(backupJobs, 'run', { id }), ConflictError)
  await lab.horcrux.call(backupJobs, 'stop', { id })
  const { state, error } = await ended
  expect(state).toBe('failed')
  const { outcomes } = error!.details as { outcomes: Outcome[] }
  expect(outcomes.map(({ state: each }) => each).toSorted()).toEqual(['failed', 'skipped'])
  expect(await ofJob(id)).toEqual([])
})

test('the retention of a job deletes only its own surplus, never a protected backup, and tells why it keeps one', async () => {
  await lab.makeSource('web')
  const job = await create({ kind: 'vm', vm_id: 'web' }, { frequency: yearly, retention: { last: 1 } })
  const { id, pool } = job
  const byCaller = (await done(lab.horcrux, backups, 'create', { vm_id: 'web', pool })) as Backup
  const backedUp = async () => (await run(id)).outcomes[0]!.backup_id!
  const first = await backedUp()
  await lab.horcrux.call(backups, 'update', { id: first, protected: true })
  const second = await backedUp()
  const planOf = async (more: object) =>
    (await lab.horcrux.call(backupJobs, 'retain', { id, plan: true, ...more })) as unknown as RetentionPlan
  const { backups: simulated } = await planOf({ retention: { yearly: 2 }, runs: 3 })
  const [one, two, three] = simulated.toReversed().slice(2)
  expect(simulated.map(({ is_kept }) => is_kept)).toEqual([true, true, false, false, true])
  // Each run to come takes the place of the year before the last.
  expect([one, two, three].map((each) => each!.backup_id)).toEqual([null, null, null])
  expect(simulated.find(({ backup_id }) => backup_id === second)!.deleted_after).toBe(two!.at)
  expect(one!.deleted_after).toBe(three!.at)

  const { deleted } = await run(id)
  expect(deleted).toEqual([second])
  const left = (await lab.horcrux.call(backups, 'list', { filter: `vm_id:web` })).data
  expect(left.map(({ id: each }) => each)).toEqual(expect.arrayContaining([byCaller.id, first]))
  expect(left).toHaveLength(3)
  const reasonOf = (each: string) => left.find((backup) => backup.id === each)!.kept_by
  expect([reasonOf(first), reasonOf(byCaller.id)]).toEqual(['protected', undefined])
  expect(left.filter(({ kept_by }) => kept_by === 'last 1')).toHaveLength(1)

  await lab.horcrux.call(backups, 'update', { id: first, protected: false })
  const { plan_id } = await planOf({})
  await lab.horcrux.call(backupJobs, 'update', { id, retention: { daily: 5 } })
  await refusal(
    lab.horcrux.call(backupJobs, 'retain', { id }, { meta: { ifPlan: 'another' } } as never),
    PreconditionFailedError,
  )
  expect((await planOf({})).plan_id).toBe(plan_id)
  expect(await done(lab.horcrux, backupJobs, 'retain', { id })).toEqual({ deleted: [first] })
})

test('the bytes of deleted backups are freed once a day by themselves, while a backup of a job waits', async () => {
  await lab.makeSource('web')
  const { id, pool } = await create({ kind: 'vm', vm_id: 'web' })
  const backup = (await run(id)).outcomes[0]!.backup_id!
  const usage = () => lab.horcrux.call(backupStores, 'get', { id: pool })
  const collections = async () =>
    (await lab.horcrux.call(operations, 'list', { filter: 'kind:backup-stores.collect' })).data.filter(
      ({ resources }) => resources.some((path) => path.includes(pool)),
    )
  const tomorrow = Date.now() + 86_400_000
  const { broker } = lab.horcrux
  const collectAt = (nowMs: number) =>
    within({ broker, service: 'storage', caller: asService('storage'), requestId: 'test' }, () =>
      collectDue(undefined, nowMs),
    )

  await collectAt(Date.now())
  expect(await collections()).toEqual([])
  await done(lab.horcrux, backups, 'delete', { id: backup })
  expect((await usage()).unused_bytes).toBeGreaterThan(0)
  await collectAt(tomorrow)
  // It begins while the store is collected, or right after.
  const [next] = (await run(id)).outcomes
  expect(next).toMatchObject({ state: 'succeeded', reason: null })
  await collectAt(tomorrow)
  await until(async () => (await collections()).every(({ state }) => state === 'succeeded'), { what: 'the collection' })
  expect(await collections()).toHaveLength(1)
  expect((await usage()).unused_bytes).toBe(0)
})

test('a job is refused for a virtual machine, storage pool, time zone or pattern that is not there', async () => {
  await refusal(create({ kind: 'vm', vm_id: 'nobody' }), NotFoundError)
  await refusal(create({ kind: 'tag', tag: 'prod' }, { pool: 'nowhere' }), NotFoundError)
  const wrong = await refusal(create({ kind: 'tag', tag: 'prod' }, { timezone: 'Nowhere/Land' }), ValidationError)
  expect(wrong.violations.map(({ field }) => field)).toEqual(['timezone'])
  const nothing = await refusal(create({ kind: 'tag', tag: 'prod' }, { retention: {} }), ValidationError)
  expect(nothing.violations.map(({ field }) => field)).toEqual(['retention'])
  const never = { custom: { cron: '0 0 30 2 *' } }
  const pattern = await refusal(create({ kind: 'tag', tag: 'prod' }, { frequency: never }), ValidationError)
  expect(pattern.violations.map(({ field }) => field)).toEqual(['frequency'])
})
