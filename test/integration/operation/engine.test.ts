import { setTimeout as delay } from 'node:timers/promises'
import mongoose from 'mongoose'
import { Type } from 'typebox'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bus } from '#shared/bus/bus.ts'
import { streams } from '#shared/bus/identity/subjects.ts'
import { contract } from '#shared/contract/contract.ts'
import { Done, strict } from '#shared/contracts/common.ts'
import { type Operation, operations } from '#shared/contracts/core/operations.ts'
import { ConflictError, PreconditionFailedError, UnavailableError } from '#shared/errors.ts'
import { requireCurrentRun } from '#shared/operation/lease.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import { implement } from '#shared/service/implement.ts'
import { startHorcrux, type TestHorcrux } from '../../lab/product/horcrux.ts'
import { until } from '../../lab/wait.ts'

/** An operation whose work the tests set. */
const jobs = contract('jobs', {
  run: {
    does: 'Run what the test says',
    rest: 'POST /jobs/{id}',
    can: 'SysModify on /api/jobs/{id}',
    operation: true,
    audit: 'config_changed',
    params: strict({ id: Type.String() }),
    result: Type.Unknown(),
  },
})
const parents = contract('parents', { run: { ...jobs.actions.run, rest: 'POST /parents/{id}', result: Done } })

const works = new Map<string, (op: Op) => Promise<unknown>>()
const accept = async ({ id }: { id: string }, { hold }: { hold: (path: string) => Promise<void> }) => {
  await hold(`/api/jobs/${id}`)
  return { id }
}
const jobService = implement(jobs, { run: operation({ accept, run: async (op, { id }) => works.get(id)!(op) }) })
const parentService = implement(parents, {
  run: operation({
    accept: async ({ id }: { id: string }) => ({ id }),
    run: async (op, { id }) => {
      await op.child(jobs, 'run', { id }, { undo: async () => undone.push(id) })
      return null
    },
  }),
})
const undone: string[] = []

let horcrux: TestHorcrux
let stopWork: () => Promise<void>

beforeAll(async () => {
  const services = [{ name: 'jobs', serves: [jobService, parentService] }]
  horcrux = await startHorcrux({ services, works: false, config: { leaseSeconds: 1 } })
  stopWork = horcrux.work()
})
afterAll(async () => {
  await stopWork()
  await horcrux.stop()
})

const begin = async (id: string, work: (op: Op) => Promise<unknown>) => {
  works.set(id, work)
  return (await horcrux.call(jobs, 'run', { id })) as Operation
}
const get = (id: string) => horcrux.call(operations, 'get', { id })
const finished = ({ id }: Operation) => horcrux.call(operations, 'wait', { id, timeout: 60 }, { timeoutMs: 65_000 })
/** What its log says, without how long each step took. */
const logOf = async ({ id }: Operation) =>
  (await horcrux.call(operations, 'log', { id })).data.map(({ message }) => message.replace(/ after [\d.]+ s$/, ''))
/** Work that lasts until the operation is cancelled or taken away. */
const forEver = (op: Op) =>
  new Promise<never>((_, reject) => op.signal.addEventListener('abort', () => reject(op.signal.reason as Error)))

test('a service that does not answer between two steps is waited for, and no step runs twice', async () => {
  const did: string[] = []
  let asked = 0
  const ended = await finished(
    await begin('between', async (op) => {
      const one = await op.step('one', async () => did.push('one'), { undo: async () => did.push('undone') })
      if (++asked < 3) throw new UnavailableError('The store does not answer')
      await op.step('two', async () => did.push('two'))
      return one
    }),
  )
  expect(ended).toMatchObject({ state: 'succeeded', result: 1 })
  expect(did).toEqual(['one', 'two'])
  expect(asked).toBe(3)
  expect(ended.progress).toEqual({ done: 2, total: 2, unit: 'steps', percent: 100 })
  expect(await logOf(ended)).toEqual([
    expect.stringMatching(/^Begun by .+\/\d+/),
    "'one' is done",
    'Waits: The store does not answer',
    'Waits: The store does not answer',
    "'two' is done",
    'Ended: succeeded',
  ])
})

test('it is cancelled at the version that If-Match names, and its log says where', async () => {
  const begun = await begin('others', (op) => op.step('long', () => forEver(op)))
  await until(async () => (await get(begun.id)).stage === 'long')
  const cancel = (meta: object) => horcrux.call(operations, 'cancel', { id: begun.id }, { meta })
  await expect(cancel({ ifMatch: 0 })).rejects.toThrow(PreconditionFailedError)
  await cancel({})
  expect((await finished(begun)).state).toBe('cancelled')
  expect((await logOf(begun)).slice(1)).toEqual(["Cancelled in 'long'", 'Ended: cancelled'])
})

test('steps are done once, in order, and their results are in the journal', async () => {
  const ended = await finished(
    await begin('plain', async (op) => {
      const one = await op.step('one', async () => 1)
      return op.step('two', async () => one + 1)
    }),
  )
  expect(ended).toMatchObject({
    state: 'succeeded',
    result: 2,
    steps: [
      { name: 'one', state: 'done' },
      { name: 'two', state: 'done' },
    ],
  })
})

test('a failure undoes the steps before it, last first, and says why', async () => {
  const order: string[] = []
  const ended = await finished(
    await begin('failing', async (op) => {
      await op.step('a', async () => 'A', { undo: async (result) => order.push(`a ${result}`) })
      await op.step('b', async () => 'B', { undo: async (result) => order.push(`b ${result}`) })
      await op.step('c', async () => Promise.reject(new ConflictError('no room')), {
        undo: async (result) => order.push(`c ${result}`),
      })
    }),
  )
  expect(ended).toMatchObject({ state: 'failed', error: { error: 'CONFLICT', message: 'no room' } })
  expect(order).toEqual(['c undefined', 'b B', 'a A'])
  expect((await logOf(ended)).slice(3)).toEqual([
    "Failed in 'c': no room",
    ...['c', 'b', 'a'].map((step) => `'${step}' is undone`),
    'Ended: failed',
  ])
})

test('an undo that fails leaves the operation in needs_attention, with the leftovers named', async () => {
  const ended = await finished(
    await begin('stuck', async (op) => {
      await op.step('a', async () => 1, { undo: async () => Promise.reject(new ConflictError('it is nailed down')) })
      await op.step('b', async () => Promise.reject(new ConflictError('no')))
    }),
  )
  expect(ended.state).toBe('needs_attention')
  expect(ended.error?.message).toMatch(/'a' could not be undone: it is nailed down.*\/api\/jobs\/stuck/)
})

test('an interrupted operation is continued by another replica at the step where it was', async () => {
  const done: string[] = []
  let isFirst = true
  const begun = await begin('handed', async (op) => {
    await op.step('a', async () => done.push('a'))
    await op.step('b', () => (isFirst ? forEver(op) : Promise.resolve(done.push('b'))))
  })
  await until(async () => (await get(begun.id)).stage === 'b')
  await stopWork()
  isFirst = false
  stopWork = horcrux.work()
  expect((await finished(begun)).state).toBe('succeeded')
  expect(done).toEqual(['a', 'b'])
})

test('an operation whose steps a new version has changed is not half run', async () => {
  const done: string[] = []
  const begun = await begin('changed', async (op) => {
    await op.step('old', async () => done.push('old'))
    await op.step('wait', () => forEver(op))
  })
  await until(async () => (await get(begun.id)).stage === 'wait')
  await stopWork()
  works.set('changed', (op) => op.step('new', async () => done.push('new')))
  stopWork = horcrux.work()
  const ended = await finished(begun)
  expect(ended.state).toBe('needs_attention')
  expect(ended.error?.message).toMatch(/does not know the step 'old'/)
  expect(done).toEqual(['old'])
})

test("cancelling a parent cancels its child and undoes the child's steps", async () => {
  works.set('child', (op) => op.step('long', () => forEver(op)))
  const parent = (await horcrux.call(parents, 'run', { id: 'child' })) as unknown as Operation
  const childOf = async () =>
    (await horcrux.call(operations, 'list', { filter: 'kind:jobs.run,resource:/api/jobs/child', limit: 5 })).data[0]
  await until(async () => (await childOf())?.stage === 'long')
  await horcrux.call(operations, 'cancel', { id: parent.id })
  expect((await finished(parent)).state).toBe('cancelled')
  expect((await childOf())?.state).toBe('cancelled')
  expect(undone).toEqual(['child'])
})

test('a parent that is taken over does not keep its younger child from being taken over', async () => {
  works.set('late', (op) => op.step('long', () => forEver(op)))
  const parent = (await horcrux.call(parents, 'run', { id: 'late' })) as unknown as Operation
  const childOf = async () =>
    (await horcrux.call(operations, 'list', { filter: 'kind:jobs.run,resource:/api/jobs/late', limit: 5 })).data[0]
  await until(async () => (await childOf())?.stage === 'long')
  await stopWork()
  // As after a crash: no message is left, and only the parent is old enough for the first turn of the sweep.
  await (await bus().manager()).streams.purge(streams.work)
  const createdAt = (id: string, ms: number) =>
    mongoose.connection
      .collection<{ _id: string }>('operations')
      .updateOne({ _id: id }, { $set: { created_at: new Date(Date.now() + ms).toISOString() } })
  await createdAt(parent.id, -10_000)
  await createdAt((await childOf())!.id, 0)
  works.set('late', (op) => op.step('long', async () => 'done'))
  stopWork = horcrux.work()
  expect((await finished(parent)).state).toBe('succeeded')
})

test('progress is sent at most ten times a second, and the last value is not lost', async () => {
  const told: { state: string; progress: { done: number } }[] = []
  const subscription = bus().nats.subscribe('horcrux.events.operations', {
    callback: (_, message) => {
      const { data } = message.json<{ data: { resources: string[]; state: string; progress: { done: number } } }>()
      if (data.resources.includes('/api/jobs/busy')) told.push(data)
    },
  })
  const begun = await begin('busy', async (op) => {
    await op.step('copy', async () => {
      for (let done = 0; done <= 1000; done++) {
        op.progress(done, 1000, 'bytes')
        await delay(1)
      }
      await delay(150)
    })
  })
  const { started_at, ended_at } = await finished(begun)
  subscription.unsubscribe()
  const seconds = (Date.parse(ended_at!) - Date.parse(started_at!)) / 1000
  // Beside the progress there are the changes of its state, which are always told.
  expect(told.length).toBeLessThanOrEqual(seconds * 10 + 6)
  expect(told.some(({ progress, state }) => progress.done === 1000 && state === 'running')).toBe(true)
})

test('a call from a run that was taken over is refused', async () => {
  const begun = await begin('fenced', (op) => op.step('wait', () => forEver(op)))
  await until(async () => (await get(begun.id)).stage === 'wait')
  await requireCurrentRun({ operation: begun.id, epoch: 1 })
  await expect(requireCurrentRun({ operation: begun.id, epoch: 0 })).rejects.toThrow('taken over')
  await horcrux.call(operations, 'cancel', { id: begun.id })
  await finished(begun)
  await expect(requireCurrentRun({ operation: begun.id, epoch: 1 })).rejects.toThrow('taken over')
})
