import mongoose from 'mongoose'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { startTestStore, type TestStore } from '@horcrux/embedded-store/test-store'
import { setConfig } from '#shared/config/config.ts'
import type { ConflictError } from '#shared/errors.ts'
import { until } from '../../lab/wait.ts'
import { changing, hold, keepLocks, release, share, sweepLocks } from '#shared/operation/locks.ts'

let store: TestStore
beforeAll(async () => {
  store = await startTestStore()
  setConfig({ dataDir: '/nonexistent', logLevel: 'silent', leaseSeconds: 15 })
  await mongoose.connect(store.url('locks'))
})
afterAll(async () => {
  await mongoose.disconnect()
  await store.stop()
})

type Lock = { _id: string; lease: { holder: string; until: string } | null }
const locks = () => mongoose.connection.collection<Lock>('locks')
const operations = () => mongoose.connection.collection<{ _id: string }>('operations')
beforeEach(async () => {
  await locks().deleteMany({})
  await operations().deleteMany({})
})

const path = '/api/vms/it'
const holdIt = (operation: string) => hold(path, operation, 'eva', 'vms.start')
/** As after the death of the process that accepted the operation. */
const endLeases = () => locks().updateMany({}, { $set: { 'lease.until': new Date(0).toISOString() } })
const refusalOf = (asked: Promise<unknown>) =>
  asked.then(
    () => expect.unreachable('it was not refused'),
    (error: ConflictError) => error,
  )
/** The operation that another request stores once it has all of its locks. */
const storeOperation = (id: string, state = 'running') =>
  operations().insertOne({ _id: id, state, lease: { holder: 'other', until: '2999-01-01T00:00:00.000Z' } } as never)

test('a lock whose operation is not stored yet refuses others, and names no operation that nobody can follow', async () => {
  await holdIt('first')
  const refused = await refusalOf(holdIt('second'))
  expect(refused).toMatchObject({ status: 409, retryable: true, details: { path, user: 'eva', reason: 'vms.start' } })
  expect(refused.message).toBe(`${path} is being taken by a request of eva (vms.start); try again`)
  expect(refused.details).not.toHaveProperty('operation_id')
})

test('a refusal waits a moment for the operation to be stored, and names it then', async () => {
  await holdIt('first')
  const asked = refusalOf(holdIt('second'))
  await storeOperation('first')
  expect(await asked).toMatchObject({ details: { operation_id: 'first', until: '2999-01-01T00:00:00.000Z' } })
})

test('a lock of a process that died before it stored its operation is free when its lease has ended', async () => {
  await holdIt('first')
  await endLeases()
  await holdIt('second')
  await share('/api/vms/other', 'first', 'eva', 'vms.clone')
  await endLeases()
  await hold('/api/vms/other', 'second', 'eva', 'vms.start')
  await sweepLocks()
  expect(await locks().countDocuments()).toBe(0)
})

test('the lock of a stored operation is held as long as the operation is active, whatever its lease', async () => {
  await holdIt('first')
  await storeOperation('first')
  await endLeases()
  expect(await refusalOf(holdIt('second'))).toMatchObject({ details: { operation_id: 'first' } })
  await sweepLocks()
  expect(await locks().countDocuments()).toBe(1)
  await operations().updateOne({ _id: 'first' }, { $set: { state: 'succeeded' } })
  await holdIt('second')
})

test('leases are renewed while an operation is accepted, and a lock that was lost meanwhile is told', async () => {
  await holdIt('first')
  const kept = keepLocks('first')
  await endLeases()
  const isRenewed = async () => (await locks().findOne({ _id: path }))!.lease!.until > new Date().toISOString()
  await until(isRenewed, { what: 'the lease to be renewed' })
  await kept.requireAll(1)
  kept.end()
  await release('first')
  await holdIt('second')
  // Half of a lease without renewal, as after a stop of the process.
  await delay(2100)
  expect((await refusalOf(kept.requireAll(1))).message).toContain('Another request has taken the resource')
})

test('a brief change refuses operations, and is told as what it is', async () => {
  await changing(path, 'eva', 'vms.update', async () => {
    const [lock] = await locks().find({}).toArray()
    expect(lock!.lease!.until > new Date().toISOString()).toBe(true)
  })
  await holdIt('first')
})
