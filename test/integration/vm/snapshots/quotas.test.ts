import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { operations } from '#shared/contracts/core/operations.ts'
import { type EnforcePlan, type Quota, snapshotQuotas } from '#shared/contracts/vm/snapshot-quotas.ts'
import { snapshotSchedules } from '#shared/contracts/vm/snapshot-schedules.ts'
import { type Snapshot, snapshots } from '#shared/contracts/vm/snapshots.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { ConflictError, PreconditionFailedError, ValidationError } from '#shared/errors.ts'
import { newId } from '#shared/ids.ts'
import { within } from '#shared/runtime/request-context.ts'
import { reserve } from '../../../../services/vm/quotas/reserve.ts'
import { type CloneLab, refusal, startCloneLab } from '../../../lab/guests/clones.ts'
import { done, work } from '../../../lab/product/run-operation.ts'
import { until } from '../../../lab/wait.ts'

const GiB = 2 ** 30

let lab: CloneLab
beforeAll(async () => {
  lab = await startCloneLab()
})
afterAll(() => lab?.stop())
afterEach(() => lab.clear())

const make = (id: string) =>
  done(lab.horcrux, vms, 'create', {
    id,
    name: id,
    memory: 128,
    cpus: 1,
    node: 'hv1',
    disks: [{ pool: 'images', size: GiB }],
  })
const limit = (more: object) =>
  lab.horcrux.call(snapshotQuotas, 'create', { name: newId(), scope: { kind: 'global' }, ...more }) as Promise<Quota>
const take = async (id: string, name: string) =>
  (await done(lab.horcrux, snapshots, 'create', { id, name })) as Snapshot
const namesOf = async (id: string) => (await lab.horcrux.call(snapshots, 'list', { id })).data.map(({ name }) => name)
const usage = ({ id }: Quota) => lab.horcrux.call(snapshotQuotas, 'usage', { id })
// With `plan` the answer is the plan, and no operation.
const planOf = ({ id }: Quota, more: object = {}) =>
  lab.horcrux.call(snapshotQuotas, 'enforce', { id, plan: true, ...more }) as unknown as Promise<EnforcePlan>
const enforce = ({ id }: Quota, ifPlan: string, more: object = {}) =>
  work(lab.horcrux, snapshotQuotas, 'enforce', { id, ...more }, { meta: { ifPlan } })

test('fifty reservations at once get the five places of a quota, and are told of every full one', async () => {
  const five = await limit({ max_count: 5 })
  const bytes = await limit({ max_bytes: 5 })
  const caller = { kind: 'service', name: 'vm' } as const
  const { broker } = lab.horcrux
  const wanted = () => ({ id: newId(), vm_id: newId(), memory_bytes: 1, disks: [] })
  const tries = Array.from({ length: 50 }, () =>
    within({ broker, service: 'vm', caller, requestId: '' }, () => reserve(wanted(), { by: 'test' })),
  )
  const ended = await Promise.allSettled(tries)
  expect(ended.filter(({ status }) => status === 'fulfilled')).toHaveLength(5)
  expect(await usage(five)).toMatchObject({ count: 5, bytes: 5, state: 'warning' })
  const late = await refusal(
    within({ broker, service: 'vm', caller, requestId: '' }, () => reserve(wanted(), { by: 'test' })),
    ConflictError,
  )
  expect(late.details['quotas']).toMatchObject(
    [five, bytes].toSorted((a, b) => a.id.localeCompare(b.id)).map(({ id }) => ({ quota_id: id })),
  )
  expect(late.message).toContain(`POST /api/snapshot-quotas/${five.id}/enforce`)
})

test('an enforcement deletes what its plan shows, and nothing that is protected (V16)', async () => {
  for (const id of ['a', 'b', 'c']) await make(id)
  const quota = await limit({ max_count: 3, policy: 'oldest_first' })
  for (const id of ['a', 'b', 'c']) await take(id, `first_of_${id}`)
  const refused = await refusal(
    lab.horcrux.call(snapshots, 'create', { id: 'a', name: 'second' }) as Promise<unknown>,
    ConflictError,
  )
  expect(refused.message).toContain('3 of 3 snapshots')
  expect(await planOf(quota)).toMatchObject({ delete: [], is_enough: true })

  const [oldest] = (await lab.horcrux.call(snapshots, 'list', { id: 'a' })).data
  const own = { id: 'a', snapshot_id: oldest!.id }
  await lab.horcrux.call(snapshots, 'update', { ...own, protected: true })
  const kept = await refusal(lab.horcrux.call(snapshots, 'delete', own) as Promise<unknown>, ConflictError)
  expect(kept.message).toContain('is protected')

  const plan = await planOf(quota, { room_count: 1 })
  expect(plan).toMatchObject({
    delete: [{ vm_id: 'b', name: 'first_of_b' }],
    skipped: [{ vm_id: 'a', reason: expect.stringContaining('is protected') }],
    is_enough: true,
  })
  expect((await lab.horcrux.call(operations, 'list', { filter: 'kind:snapshot-quotas.enforce' })).total).toBe(0)
  // The plan of now is another one: its caller has not seen it.
  const other = await refusal(enforce(quota, plan.plan_id, { room_count: 2 }), PreconditionFailedError)
  expect(other.details['plan']).toMatchObject({ delete: [{ vm_id: 'b' }, { vm_id: 'c' }] })
  const ended = await enforce(quota, plan.plan_id, { room_count: 1 })
  expect(ended).toMatchObject({ state: 'succeeded', result: { deleted: [{ vm_id: 'b' }], kept: [] } })
  expect([await namesOf('a'), await namesOf('b'), await namesOf('c')]).toEqual([['first_of_a'], [], ['first_of_c']])
  expect(await usage(quota)).toMatchObject({ count: 2 })
  await take('b', 'again')
  await lab.horcrux.call(snapshots, 'update', { ...own, protected: false })
})

test('the policy manual deletes only snapshots that the caller names', async () => {
  await make('a')
  const one = await take('a', 'one')
  const two = await take('a', 'two')
  const quota = await limit({ scope: { kind: 'vm', vm_id: 'a' }, max_count: 1 })
  const unnamed = lab.horcrux.call(snapshotQuotas, 'enforce', { id: quota.id }) as Promise<unknown>
  expect((await refusal(unnamed, ValidationError)).violations[0]?.field).toBe('snapshots')
  const snapshotIds = { snapshots: [two.id] }
  const plan = await planOf(quota, snapshotIds)
  expect(await enforce(quota, plan.plan_id, snapshotIds)).toMatchObject({ state: 'succeeded' })
  expect(await namesOf('a')).toEqual([one.name])
})

test('a quota warns once it reaches its threshold, and a limit of bytes in a storage pool counts its disks', async () => {
  await make('a')
  const pool = await limit({ scope: { kind: 'pool', pool: 'images' }, max_bytes: GiB, max_count: 4 })
  const before = await usage(pool)
  expect(before).toMatchObject({ count: 0, bytes: 0, state: 'ok' })
  for (let number = 0; number < 4; number++) await take('a', `s${number}`)
  const after = await usage(pool)
  expect(after).toMatchObject({ count: 4, unmeasured: 0, state: 'warning' })
  const held = (await lab.horcrux.call(snapshots, 'list', { id: 'a' })).data
  expect(after.bytes).toBe(held.reduce((sum, { size_bytes }) => sum + (size_bytes ?? 0), 0))
  expect((await lab.horcrux.call(snapshotQuotas, 'get', { id: pool.id })).is_warning).toBe(true)
  expect(await lab.horcrux.call(snapshotQuotas, 'summary', {})).toMatchObject({ total: 1, warning: 1, exceeded: 0 })
})

test('a schedule goes on under a quota of as many snapshots as it keeps', async () => {
  await make('a')
  const quota = await limit({ scope: { kind: 'vm', vm_id: 'a' }, max_count: 1 })
  const { id: schedule } = await lab.horcrux.call(snapshotSchedules, 'create', {
    vm_id: 'a',
    name: 'nightly',
    frequency: 'hourly',
    retention_count: 1,
    enabled: false,
  } as never)
  const run = (day: number) =>
    work(lab.horcrux, snapshotSchedules, 'run', { schedule, due: `2026-01-0${day}T00:00:00.000Z` })
  for (const day of [1, 2]) {
    expect(await run(day)).toMatchObject({ state: 'succeeded' })
    await until(async () => (await lab.leftovers()).locks === 0, { what: 'the end of the run' })
    expect(await namesOf('a')).toEqual([`nightly_2026010${day}_000000`])
  }
  expect(await usage(quota)).toMatchObject({ count: 1, state: 'warning' })
})
