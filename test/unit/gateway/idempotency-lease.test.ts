import mongoose from 'mongoose'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { setConfig } from '#shared/config/config.ts'
import { LateCallError } from '#shared/errors.ts'
import { startTestStore, type TestStore } from '@horcrux/embedded-store/test-store'
import { begin, guardOf, outcomeOf } from '../../../services/gateway/idempotency/store.ts'

let store: TestStore
beforeAll(async () => {
  store = await startTestStore()
  setConfig({ dataDir: '/nonexistent', logLevel: 'silent' })
  await mongoose.connect(store.url('idempotency'))
})
afterAll(async () => {
  await mongoose.disconnect()
  await store.stop()
})

const ago = (ms: number) => new Date(Date.now() - ms).toISOString()

test('a gateway that was stopped with the work of a key does not send it once another one has taken it over', async () => {
  const { record, mine } = await begin('key', 'print')
  expect(mine).toBe(true)
  // The lease as the stopped gateway knows it: it ended long ago.
  const old = { ...record, lease: { ...record.lease!, until: ago(5000) } }
  const guard = guardOf(old)
  await expect(guard()).resolves.toBeUndefined()
  const kept = await begin('key', 'print')
  expect(kept.mine, 'the lease was renewed').toBe(false)

  await mongoose.connection
    .collection('idempotency_keys')
    .updateOne({ _id: 'key' as never }, { $set: { 'lease.until': ago(1000) } })
  const taken = await begin('key', 'print')
  expect(taken).toMatchObject({ mine: true, record: { epoch: 2 } })
  await expect(guardOf(old)()).rejects.toThrow(LateCallError)
  expect(outcomeOf(taken.record)).toBeUndefined()
  await expect(guardOf(taken.record)()).resolves.toBeUndefined()
})
