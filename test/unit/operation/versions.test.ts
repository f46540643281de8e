import mongoose from 'mongoose'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { setConfig } from '#shared/config/config.ts'
import { type Entry, findEntry, operationModel, updated } from '#shared/operation/entries.ts'
import { writeEntry } from '#shared/operation/journal.ts'
import { take } from '#shared/operation/lease.ts'
import { LostLeaseError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { startTestStore, type TestStore } from '@horcrux/embedded-store/test-store'

let lab: TestStore
beforeAll(async () => {
  lab = await startTestStore()
  setConfig({ dataDir: '/nonexistent', logLevel: 'silent' })
  await mongoose.connect(lab.url('operations'))
})
afterAll(async () => {
  await mongoose.disconnect()
  await lab.stop()
})

const begun = async (id: string): Promise<Entry> => {
  const entry = {
    kind: 'test',
    service: 'test',
    user: 'ann',
    state: 'queued',
    epoch: 0,
    version: 1,
    lease: null,
    outbox: [],
  }
  await operationModel.create([{ _id: id, ...entry, cancellable: true, cancel_requested: false, steps: [] }] as never)
  return (await take(id))!
}

const toldOf = async (id: string) => {
  const found = await operationModel.findById(id).lean()
  return (found?.outbox ?? []).map(({ data }) => data)
}

const ending = { state: 'succeeded', ended_at: now() } as const
const endOf = (entry: Entry) => [updated({ ...entry, ...ending, version: entry.version + 1 })]

test('an event tells the version that the record has, also when the lease was renewed in between', async () => {
  const entry = await begun('renewed')
  await writeEntry(entry, {})
  const written = await writeEntry(entry, ending, endOf(entry))
  expect(written).toMatchObject({ state: 'succeeded', version: entry.version + 2 })
  expect(await toldOf('renewed')).toMatchObject([{ state: 'succeeded', version: written.version }])
})

test('a renewal and an end that are written at once are both written, and told of once', async () => {
  const entry = await begun('at-once')
  await Promise.allSettled([writeEntry(entry, {}), writeEntry(entry, {}), writeEntry(entry, ending, endOf(entry))])
  const { version, state } = (await findEntry('at-once'))!
  expect(state).toBe('succeeded')
  expect(await toldOf('at-once')).toMatchObject([{ state, version }])
})

test('a run that was taken over writes nothing', async () => {
  const entry = await begun('taken')
  await operationModel.updateOne({ _id: 'taken' } as never, { $inc: { epoch: 1 } } as never)
  await expect(writeEntry(entry, ending, endOf(entry))).rejects.toThrow(LostLeaseError)
  expect(await toldOf('taken')).toEqual([])
})
