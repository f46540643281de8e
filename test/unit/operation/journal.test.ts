import mongoose from 'mongoose'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { setConfig } from '#shared/config/config.ts'
import { event } from '#shared/events/event.ts'
import { LostLeaseError } from '#shared/errors.ts'
import { type Entry, findEntry, operationModel } from '#shared/operation/entries.ts'
import { type Journal, openJournal } from '#shared/operation/journal.ts'
import { take } from '#shared/operation/lease.ts'
import { insert, update } from '#shared/db/commands.ts'
import { startTestStore, type TestStore } from '@horcrux/embedded-store/test-store'

let store: TestStore
beforeAll(async () => {
  store = await startTestStore()
  setConfig({ dataDir: '/nonexistent', logLevel: 'silent' })
  await mongoose.connect(store.url('journal'))
})
afterAll(async () => {
  await mongoose.disconnect()
  await store.stop()
})

const progress = { done: 0, total: null, unit: 'steps', percent: null }

/** The journal of an operation that this process has just taken, and the steps that `onWritten` was told of. */
async function begun(id: string): Promise<{ journal: Journal; recorded: string[] }> {
  const entry = { kind: 'test', service: 'test', user: 'ann', state: 'queued', epoch: 0, version: 1, lease: null }
  const more = { progress, eta: null, steps: [], results: [], log: [], cancellable: true, cancel_requested: false }
  await insert(operationModel, { _id: id, ...entry, ...more, created_at: '2026-01-01T00:00:00.000Z', ended_at: null })
  const recorded: string[] = []
  const journal = openJournal((await take(id))!, {
    changed: new Map(),
    onWritten: async (ended) => void recorded.push(...ended),
  })
  return { journal, recorded }
}
const stored = async (id: string) => (await findEntry(id))!
const messages = ({ log }: Entry) => (log as { message: string }[]).map(({ message }) => message)
const typesOf = async (id: string) => (await operationModel.findById(id).lean())!.outbox!.map(({ type }) => type)
const alert = () =>
  event('AlertTriggered', {
    alert_id: '1',
    name: 'test',
    severity: 'critical',
    resource: '/',
    message: '',
    timestamp: '2026-01-01T00:00:00.000Z',
  })

test('the end of a step is seen at once, and written with the beginning of the next', async () => {
  const { journal, recorded } = await begun('next')
  await journal.writeStep('one', { state: 'running' }, { stage: 'one' })
  journal.endStep('one', 42)
  expect(journal.entry.results).toEqual([['one', 42]])
  expect((await stored('next')).results).toEqual([])
  await journal.writeStep('two', { state: 'running' }, { stage: 'two' })
  expect(await stored('next')).toMatchObject({
    state: 'running',
    stage: 'two',
    results: [['one', 42]],
    steps: [
      { name: 'one', state: 'done' },
      { name: 'two', state: 'running' },
    ],
  })
  expect(recorded).toEqual(['one'])
})

test('a batch whose write fails is written with the next one, each event and line once and in their order', async () => {
  const { journal, recorded } = await begun('refused')
  await journal.writeStep('one', { state: 'running' })
  journal.endStep('one', null)
  journal.log('before')
  journal.emit(alert())
  // The model's schema refuses a field that it does not have.
  await expect(journal.flush({ unknown: 1 } as Partial<Entry>)).rejects.toThrow()
  journal.log('after')
  expect(recorded).toEqual([])
  await journal.flush()
  const entry = await stored('refused')
  expect(entry.results).toEqual([['one', null]])
  expect(messages(entry).slice(-2)).toEqual(['before', 'after'])
  expect(messages(entry).filter((line) => line.startsWith("'one' is done"))).toHaveLength(1)
  expect((await typesOf('refused')).filter((type) => type === 'AlertTriggered')).toHaveLength(1)
  expect(recorded).toEqual(['one'])
})

test('a step that ends while a renewal is being written waits for the next write', async () => {
  const { journal } = await begun('meanwhile')
  await journal.writeStep('one', { state: 'running' })
  const renewing = journal.renew()
  await Promise.resolve()
  journal.endStep('one', 'made')
  await renewing
  expect(journal.entry.results).toEqual([['one', 'made']])
  await journal.flush()
  expect((await stored('meanwhile')).results).toEqual([['one', 'made']])
})

test('writes that are begun at once come one after the other, and the last one counts', async () => {
  const { journal } = await begun('many')
  await Promise.all([journal.renew(), journal.flush({ stage: 'a' }), journal.renew(), journal.flush({ stage: 'b' })])
  expect(await stored('many')).toMatchObject({ stage: 'b', version: journal.entry.version })
})

test('an operation that was taken over is written no more; one that is handed over has no lease', async () => {
  const { journal } = await begun('lost')
  await update(operationModel, { _id: 'lost' }, { $inc: { epoch: 1 } })
  await expect(journal.flush()).rejects.toThrow(LostLeaseError)
  const other = await begun('handed-over')
  await other.journal.handOver()
  expect((await stored('handed-over')).lease).toBeNull()
  expect(await take('handed-over')).toMatchObject({ epoch: 2 })
})

test('each write renews the lease, and has the progress with it', async () => {
  const { journal } = await begun('renewed')
  const long = '2026-01-01T00:00:00.000Z'
  await update(operationModel, { _id: 'renewed' }, { $set: { 'lease.until': long } })
  journal.setProgress({ done: 3, total: 10, unit: 'bytes', percent: 30 }, null)
  expect(journal.hasNewProgress()).toBe(true)
  await journal.renew()
  expect(journal.hasNewProgress()).toBe(false)
  expect((await stored('renewed')).progress.done).toBe(3)
  expect((await stored('renewed')).lease!.until > long).toBe(true)
})
