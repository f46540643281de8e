import { randomBytes } from 'node:crypto'
import mongoose from 'mongoose'
import { Secret, TOTP } from 'otpauth'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import type { Caller } from '#shared/access/access.ts'
import { audit } from '#shared/contracts/core/audit.ts'
import { auth } from '#shared/contracts/access/auth.ts'
import { users } from '#shared/contracts/access/users.ts'
import { AuthenticationError, type AppError, RateLimitedError } from '#shared/errors.ts'
import { auditService } from '../../../services/audit/service.ts'
import { authService } from '../../../services/auth/service.ts'
import { admin, type Person, signIn } from '../../lab/people/auth.ts'
import { type Replica, startHorcrux, type TestHorcrux } from '../../lab/product/horcrux.ts'

let horcrux: TestHorcrux
let replica: Replica
let root: Person
const password = 'Kirschkuchen-12'

beforeAll(async () => {
  horcrux = await startHorcrux({ services: [authService, auditService], config: { adminPassword: admin.password } })
  replica = await horcrux.startReplica('auth')
  root = await signIn(horcrux, admin.username, admin.password)
})
afterAll(() => horcrux?.stop())
afterEach(() => vi.useRealTimers())

const login = (username: string, secret: string, address: string, nodeID?: string) => {
  const caller: Caller = { kind: 'anonymous', address }
  const params = { username, password: secret }
  return nodeID === undefined
    ? horcrux.call(auth, 'login', params, { caller })
    : horcrux.broker.call('auth.login', params, { nodeID, meta: { caller, requestId: 'test' } })
}
const kindsOf = async (filter: object) => (await root.call(audit, 'list', { limit: 1000, ...filter })).data

test('of 40 simultaneous guesses over two replicas only ten are checked', async () => {
  await root.call(users, 'create', { username: 'target', password })
  const guesses = await Promise.allSettled(
    Array.from({ length: 40 }, (_, i) =>
      login('target', `guess-${i}`, `198.51.100.${i}`, i % 2 ? replica.nodeId : undefined),
    ),
  )
  const errors = guesses.map((guess) => (guess as PromiseRejectedResult).reason as AppError)
  expect(errors.filter(({ status }) => status === 401)).toHaveLength(10)
  expect(errors.filter(({ status }) => status === 429)).toHaveLength(30)
  expect(await kindsOf({ kind: 'login_failed', user: 'target' })).toHaveLength(40)
  const found = await kindsOf({ kind: 'brute_force_detected' })
  expect(found).toMatchObject([{ user: 'target', severity: 'critical' }])
  const { data } = await root.call(audit, 'bruteForce', {})
  expect(data[0]).toMatchObject({ by: 'user', name: 'target', failures: 40, succeeded_after: false })
})

test('each further failure doubles the delay, also for the right password; after 15 minutes the count is reset', async () => {
  await root.call(users, 'create', { username: 'patient', password })
  for (let i = 0; i < 10; i++) await login('patient', 'wrong', `198.51.100.${i}`).catch(() => undefined)
  const waits: number[] = []
  let now = Date.now()
  for (let i = 0; i < 4; i++) {
    vi.useFakeTimers({ toFake: ['Date'], now })
    const refusal = (await login('patient', password, '203.0.113.2').catch((error: AppError) => error)) as AppError
    expect(refusal.status).toBe(429)
    const seconds = refusal.details['retry_after_seconds'] as number
    waits.push(seconds)
    now += seconds * 1000
    vi.useFakeTimers({ toFake: ['Date'], now })
    await expect(login('patient', 'wrong', '203.0.113.2')).rejects.toThrow(AuthenticationError)
  }
  expect(waits).toEqual([1, 2, 4, 8])
  vi.useFakeTimers({ toFake: ['Date'], now: now + 15 * 60_000 + 1 })
  await login('patient', password, '203.0.113.2')
})

test('a wrong sign-in is answered alike for a name that exists and for one that does not', async () => {
  await root.call(users, 'create', { username: 'known', password })
  const refusal = async (username: string) => {
    const error = (await login(username, 'wrong', '203.0.113.1').catch((refused: AppError) => refused)) as AppError
    return { status: error.status, message: error.message, details: error.details }
  }
  expect(await refusal('known')).toEqual(await refusal('unknown'))
})

test('one address that tries many names is slowed down, others are not', async () => {
  for (let i = 0; i < 10; i++) await login(`nobody-${i}`, 'wrong', '203.0.113.66').catch(() => undefined)
  await expect(login('admin', admin.password, '203.0.113.66')).rejects.toThrow(RateLimitedError)
  await login('admin', admin.password, '203.0.113.67')
})

test('wrong secrets of an API key are in the audit and slowed down', async () => {
  const { key, id } = await root.call(users, 'createKey', { username: 'admin', name: 'guessed' })
  const show = (credential: string) =>
    horcrux.call(auth, 'identify', { by: 'api_key', credential, address: '203.0.113.80' })
  const wrong = (i: number) => `${key.slice(0, -4)}${String(i).padStart(4, 'x')}`
  const guesses = await Promise.allSettled(Array.from({ length: 15 }, (_, i) => show(wrong(i))))
  const statuses = guesses.map((guess) => ((guess as PromiseRejectedResult).reason as AppError).status)
  expect(statuses.filter((status) => status === 401)).toHaveLength(10)
  expect(statuses.filter((status) => status === 429)).toHaveLength(5)
  const records = await kindsOf({ kind: 'login_failed', resource: `/api/users/admin/api-keys/${id}` })
  expect(records).toHaveLength(10)
})

test('no secret is in the store or the audit in clear', async () => {
  const canary = 'Canary-Pass-4711'
  const username = `birdy-${randomBytes(3).toString('hex')}`
  await root.call(users, 'create', { username, password: canary })
  const person = await signIn(horcrux, username, canary)
  const { key } = await person.call(users, 'createKey', { username, name: 'k' })
  const { secret } = await person.call(auth, 'totp', { password: canary })
  const { ticket } = await person.call(auth, 'wsTicket', {})
  await signIn(horcrux, username, `${canary}x`).catch(() => undefined)
  const { connection } = mongoose
  const everything: unknown[] = []
  for (const { name } of await connection.db!.listCollections().toArray())
    everything.push(await connection.db!.collection(name).find().toArray())
  const text = JSON.stringify(everything)
  for (const word of [canary, key.split('_').slice(2).join('_'), secret, ticket, person.token, person.cookie])
    expect(text).not.toContain(word)
})

test('a second factor: codes count once, recovery codes count once, eight wrong codes lock it', async () => {
  await root.call(users, 'create', { username: 'careful', password })
  const person = await signIn(horcrux, 'careful', password)
  await expect(person.call(auth, 'totp', { password: 'wrong' })).rejects.toThrow(AuthenticationError)
  const { secret, uri } = await person.call(auth, 'totp', { password })
  expect(uri).toMatch(/^otpauth:\/\/totp\/Horcrux:careful\?/)
  const totp = new TOTP({ secret: Secret.fromBase32(secret) })
  const begun = Date.now()
  const codeAt = (steps: number) => {
    vi.useFakeTimers({ toFake: ['Date'], now: begun + steps * 30_000 })
    return totp.generate()
  }
  const { recovery_codes } = await person.call(auth, 'totpConfirm', { code: codeAt(0) })
  expect(new Set(recovery_codes).size).toBe(10)

  const withoutCode = (await signIn(horcrux, 'careful', password).catch((error: AppError) => error)) as AppError
  expect(withoutCode.details).toMatchObject({ totp_required: true })
  await expect(signIn(horcrux, 'careful', password, codeAt(0))).rejects.toThrow(/already used/)
  const code = codeAt(1)
  const twice = await Promise.allSettled([
    signIn(horcrux, 'careful', password, code),
    signIn(horcrux, 'careful', password, code),
  ])
  expect(twice.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])

  // Later, so that the earlier failures do not delay these.
  codeAt(40)
  for (let i = 0; i < 8; i++)
    await signIn(horcrux, 'careful', password, String(i).padStart(6, '0')).catch(() => undefined)
  await expect(signIn(horcrux, 'careful', password, codeAt(41))).rejects.toThrow(/locked after 8 wrong codes/)
  expect((await signIn(horcrux, 'careful', password, recovery_codes[0])).profile.totp).toBe(true)
  await expect(signIn(horcrux, 'careful', password, recovery_codes[0])).rejects.toThrow(AuthenticationError)
  const again = await signIn(horcrux, 'careful', password, codeAt(42))
  await again.call(auth, 'totpRemove', { password, code: codeAt(43) })
  expect((await signIn(horcrux, 'careful', password)).profile.totp).toBe(false)
})
