import fc from 'fast-check'
import mongoose from 'mongoose'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestStore, type TestStore } from '@horcrux/embedded-store/test-store'
import { Operation } from '#shared/contracts/core/operations.ts'
import { findAll } from '#shared/db/commands.ts'
import { everything, page } from '#shared/db/page.ts'
import { orderOf, searchFilter } from '#shared/db/search.ts'
import { operationModel } from '#shared/operation/entries.ts'
import { searchOperations } from '#shared/operation/search.ts'

let lab: TestStore
beforeAll(async () => {
  lab = await startTestStore()
  await mongoose.connect(lab.url('test'))
})
afterAll(async () => {
  await mongoose.disconnect()
  await lab.stop()
})

const ids = ['a', 'b', 'c', 'd', 'e']
const start = Date.parse('2026-12-01T00:00:00.000Z')
const timeAt = (second: number) => new Date(start + second * 1000).toISOString()
const steps = fc.record({
  what: fc.constantFrom('begin', 'begin', 'end', 'end', 'remove', 'progress'),
  id: fc.constantFrom(...ids),
  user: fc.constantFrom('ann', 'bob'),
  vm: fc.constantFrom('vm-1', 'vm-2'),
  second: fc.integer({ min: 0, max: 40 }),
})
const questions = fc.record({
  q: fc.constantFrom(
    undefined,
    'vm-1',
    'start',
    '-state:succeeded',
    'user:ann',
    'resources:/api/vms/vm-2',
    'ended_at:>2026',
  ),
  sort: fc.constantFrom('kind', '-user,created_at', '-ended_at'),
  filter: fc.constantFrom(undefined, 'state:running', 'resources:/api/vms/vm-1'),
  limit: fc.integer({ min: 1, max: 4 }),
  offset: fc.constantFrom(0, 1),
})
type Step = typeof steps extends fc.Arbitrary<infer T> ? T : never

async function apply({ what, id, user, vm, second }: Step): Promise<void> {
  const { collection } = operationModel
  const _id = id as never
  const begun = { kind: `vms.${user === 'ann' ? 'start' : 'stop'}`, state: 'running', stage: 'one', user }
  const times = { created_at: timeAt(second), started_at: timeAt(second), ended_at: null }
  const rest = { resources: [`/api/vms/${vm}`], request_id: 'r', cancellable: true, version: 1 }
  if (what === 'begin') await collection.insertOne({ _id, ...begun, ...times, ...rest }).catch(() => undefined)
  if (what === 'progress') await collection.updateOne({ _id, ended_at: null }, { $set: { stage: 'two' } })
  if (what === 'remove') await collection.deleteOne({ _id, ended_at: { $ne: null } })
  if (what !== 'end') return
  const set = { state: 'succeeded', ended_at: timeAt(60 + second), cancellable: false }
  await collection.updateOne({ _id, ended_at: null }, { $set: set })
}

test('searches and sorts operations as the store does, after each begin, end and removal', async () => {
  const rounds = fc.array(fc.tuple(steps, questions), { minLength: 4, maxLength: 20 })
  const property = fc.asyncProperty(rounds, async (all) => {
    await operationModel.collection.deleteMany({})
    for (const [step, { q, filter, ...query }] of all) {
      await apply(step)
      const asked = { ...query, ...(filter && { filter }), ...(q && { q }), facets: 'state,user' }
      const found = await searchOperations(asked, { user: 'ann' })
      const fitting = { $and: [{ user: 'ann' }, searchFilter(q, Operation, ['id', 'kind', 'resources', 'user'])] }
      const right = await page(operationModel, asked, everything, fitting, orderOf(query.sort, Operation))
      expect(found.data.map(({ id, stage, state }) => [id, stage, state])).toEqual(
        right.data.map(({ _id, stage, state }) => [_id, stage, state]),
      )
      expect([found.total, found.next_cursor, found.facets]).toEqual([right.total, right.next_cursor, right.facets])
    }
  })
  await fc.assert(property, { numRuns: 10 })
  expect((await findAll(operationModel, {})).length).toBeLessThanOrEqual(ids.length)
})
