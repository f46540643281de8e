import mongoose from 'mongoose'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { strict, Version } from '#shared/contracts/common.ts'
import { Type } from 'typebox'
import { setConfig } from '#shared/config/config.ts'
import { findOne, removeAll } from '#shared/db/commands.ts'
import {
  hasEnded,
  heldAs,
  type Lease,
  leaseFields,
  leaseFor,
  releaseLease,
  renewLease,
  takeLease,
} from '#shared/db/lease.ts'
import { modelOf } from '#shared/db/model.ts'
import { startTestStore, type TestStore } from '@horcrux/embedded-store/test-store'

const model = modelOf(
  'leased',
  strict({ id: Type.String(), ...leaseFields, note: Type.String(), version: Version }),
  [],
)
type Leased = { _id: string; lease: Lease | null; epoch: number; note?: string }

let store: TestStore
beforeAll(async () => {
  store = await startTestStore()
  setConfig({ dataDir: '/nonexistent', logLevel: 'silent' })
  await mongoose.connect(store.url('leases'))
})
afterAll(async () => {
  await mongoose.disconnect()
  await store.stop()
})
beforeEach(() => removeAll(model, {}))

const id = 'one'
const take = (holder: string, ms = 10_000, more: object = {}) =>
  takeLease<Leased>(model, { _id: id }, leaseFor(holder, ms), { upsert: true, ...more })
const found = () => findOne<Leased>(model, { _id: id })

test('a free lease is taken by one of many that try at once', async () => {
  const taken = await Promise.all(Array.from({ length: 20 }, (_, number) => take(`holder-${number}`)))
  const [winner, ...others] = taken.filter((document) => document !== null)
  expect(others).toEqual([])
  expect(await found()).toMatchObject({ epoch: 1, lease: { holder: winner!.lease!.holder } })
})

test('a lease that is held is refused, one that has ended is taken with a higher epoch', async () => {
  await take('a', 10_000)
  expect(await take('b')).toBeNull()
  await renewLease(model, { id, epoch: 1 }, leaseFor('a', -1))
  expect(hasEnded((await found())!.lease)).toBe(true)
  expect(await take('b')).toMatchObject({ epoch: 2, lease: { holder: 'b' } })
})

test('the lease of a dead holder is taken before its end, that of another is not', async () => {
  await take('a')
  expect(await take('c', 10_000, { dead: 'b' })).toBeNull()
  expect(await take('c', 10_000, { dead: 'a' })).toMatchObject({ epoch: 2, lease: { holder: 'c' } })
})

test('a former holder renews, releases and writes nothing', async () => {
  await take('a', -1)
  await take('b')
  const former = { id, epoch: 1 }
  expect(await renewLease(model, former, leaseFor('a', 10_000))).toBe(false)
  expect(await releaseLease(model, former)).toBe(false)
  expect(await findOne(model, heldAs(former))).toBeNull()
  expect(await found()).toMatchObject({ epoch: 2, lease: { holder: 'b' } })
})

test('a released lease is free at once, with the change in the same write', async () => {
  await take('a')
  expect(await releaseLease(model, { id, epoch: 1 }, { $set: { note: 'done' } })).toBe(true)
  expect(await found()).toMatchObject({ lease: null, note: 'done' })
  expect(hasEnded((await found())!.lease)).toBe(true)
  expect(await take('b', 10_000, { change: { $set: { note: 'again' } } })).toMatchObject({ epoch: 2, note: 'again' })
})
