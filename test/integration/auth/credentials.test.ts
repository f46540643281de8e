import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { bus } from '#shared/bus/bus.ts'
import { auth, authChangedSubject } from '#shared/contracts/access/auth.ts'
import { roles } from '#shared/contracts/access/roles.ts'
import { users } from '#shared/contracts/access/users.ts'
import { AuthenticationError, ForbiddenError } from '#shared/errors.ts'
import { users as stored } from '../../../services/auth/models.ts'
import { actAs, address, admin, anonymous, identifyAt, type Person, signIn, startTwice } from '../../lab/people/auth.ts'
import type { Replica, TestHorcrux } from '../../lab/product/horcrux.ts'

let horcrux: TestHorcrux
let replica: Replica
let root: Person
const password = 'Kirschkuchen-12'

beforeAll(async () => ({ horcrux, replica, root } = await startTwice()))
afterAll(() => horcrux?.stop())
afterEach(() => vi.useRealTimers())

const makeUser = (username: string, more: object = {}) => root.call(users, 'create', { username, password, ...more })
const elsewhere = (by: string, credential: string) => identifyAt(horcrux.broker, replica.nodeId, by, credential)

test('an unknown name, a wrong password and a disabled user are one and the same answer', async () => {
  await makeUser('sleeper', { enabled: false })
  const refusals = await Promise.all(
    [
      ['stranger', password],
      ['admin', 'wrong'],
      ['sleeper', password],
      ["x' or 1=1", password],
    ].map(([name, secret]) => signIn(horcrux, name!, secret!).catch((error: Error) => error)),
  )
  for (const refusal of refusals) expect(refusal).toBeInstanceOf(AuthenticationError)
  expect(new Set(refusals.map((refusal) => (refusal as Error).message)).size).toBe(1)
})

test('a disabled user loses session, token and API key at once on every replica, and gateways hear of it', async () => {
  await makeUser('gone')
  const person = await signIn(horcrux, 'gone', password)
  const { key } = await person.call(users, 'createKey', { username: 'gone', name: 'laptop' })
  const proofs = [
    ['token', person.token],
    ['session', person.cookie],
    ['api_key', key],
  ] as const
  for (const [by, credential] of proofs)
    expect(await elsewhere(by, credential)).toMatchObject({ user: 'gone', credential: { by } })
  const heard = bus().nats.subscribe(authChangedSubject, { max: 1 })
  await root.call(users, 'change', { username: 'gone', enabled: false })
  for (const [by, credential] of proofs)
    await expect(elsewhere(by, credential)).rejects.toBeInstanceOf(AuthenticationError)
  for await (const message of heard) expect(message.json()).toEqual({ user: 'gone' })
})

test('an API key that was just verified is refused everywhere once it is revoked', async () => {
  await makeUser('keyed')
  const person = await signIn(horcrux, 'keyed', password)
  const { key, id } = await person.call(users, 'createKey', { username: 'keyed', name: 'ci' })
  expect(await elsewhere('api_key', key)).toMatchObject({ user: 'keyed' })
  const { data } = await person.call(users, 'keys', { username: 'keyed' })
  expect(data[0]).toMatchObject({ id, name: 'ci', last_used_address: address })
  expect(JSON.stringify(data)).not.toContain('argon2')
  await person.call(users, 'revokeKey', { username: 'keyed', id })
  await expect(elsewhere('api_key', key)).rejects.toThrow(/wrong, revoked or expired/)
})

test('an API key ends on its day', async () => {
  const { key } = await root.call(users, 'createKey', { username: 'admin', name: 'short', expires_in_days: 1 })
  const holder = actAs(horcrux, 'api_key', key)
  await holder.identity()
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 24 * 3_600_000 + 1000 })
  await expect(holder.identity()).rejects.toThrow(/expired/)
})

test('a restricted API key has only those of its grants that its user has too, and cannot make another key', async () => {
  await makeUser('narrow', { roles: ['VmUser'] })
  const person = await signIn(horcrux, 'narrow', password)
  const { key } = await person.call(users, 'createKey', {
    username: 'narrow',
    name: 'bot',
    grants: [{ role: 'VmAdmin', path: '/api/vms/7' }],
  })
  const bot = actAs(horcrux, 'api_key', key)
  const { rights } = await bot.call(auth, 'session', {})
  expect(rights).toEqual([{ path: '/api/vms/7', privileges: ['VmPowerMgmt', 'VmAudit', 'VmConsole'] }])
  await expect(bot.call(users, 'createKey', { username: 'narrow', name: 'more' })).rejects.toThrow(ForbiddenError)
})

test("a key with the right to manage users can neither take over its own user nor read that user's secrets", async () => {
  await root.call(roles, 'create', { name: 'Clerk', description: '', privileges: ['UserModify'] })
  const grants = [{ role: 'Clerk', path: '/api/users/*' }]
  const { key } = await root.call(users, 'createKey', { username: 'admin', name: 'clerk', grants })
  const clerk = actAs(horcrux, 'api_key', key)
  for (const change of [{ password: 'Apfelstrudel-3' }, { totp: false }, { enabled: false }, { full_name: 'x' }])
    await expect(clerk.call(users, 'change', { username: 'admin', ...change })).rejects.toThrow(ForbiddenError)
  await expect(clerk.call(users, 'delete', { username: 'admin' })).rejects.toThrow(ForbiddenError)
  await makeUser('minder', { roles: ['VmUser'] })
  const minder = await signIn(horcrux, 'minder', password)
  const made = await minder.call(users, 'createKey', { username: 'minder', name: 'bot', grants: [] })
  const other = await minder.call(users, 'createKey', { username: 'minder', name: 'other' })
  const bot = actAs(horcrux, 'api_key', made.key)
  const { data } = await bot.call(auth, 'sessions', {})
  await expect(bot.call(auth, 'endSession', { id: data[0]!.id })).rejects.toThrow(/requires a sign-in/)
  await expect(bot.call(users, 'revokeKey', { username: 'minder', id: other.id })).rejects.toThrow(/requires a sign-in/)
  await bot.call(users, 'revokeKey', { username: 'minder', id: made.id })
  await minder.identity()
})

test("a user's own password changes only with the old one, even with the right to manage users", async () => {
  const change = (params: object) => root.call(users, 'change', { username: 'admin', ...params })
  await expect(change({ password: 'Apfelstrudel-3' })).rejects.toThrow(/POST \/api\/auth\/password/)
  await expect(change({ totp: false })).rejects.toThrow(/DELETE \/api\/auth\/totp/)
  expect(await change({ full_name: 'The Admin' })).toMatchObject({ full_name: 'The Admin' })
})

test('a session ends after an hour without use, and always after a day', async () => {
  const person = await signIn(horcrux, admin.username, admin.password)
  const begun = Date.now()
  const session = actAs(horcrux, 'session', person.cookie)
  for (let minutes = 0; minutes < 24 * 60; minutes += 50) {
    vi.useFakeTimers({ toFake: ['Date'], now: begun + minutes * 60_000 })
    await session.identity()
  }
  vi.useFakeTimers({ toFake: ['Date'], now: begun + 24 * 3_600_000 + 1000 })
  await expect(session.identity()).rejects.toThrow(/expired/)
  vi.useRealTimers()
  const idle = actAs(horcrux, 'session', (await signIn(horcrux, admin.username, admin.password)).cookie)
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 61 * 60_000 })
  await expect(idle.identity()).rejects.toThrow(/expired/)
})

test('only the session cookie renews a token', async () => {
  const person = await signIn(horcrux, admin.username, admin.password)
  await expect(person.call(auth, 'refresh', {})).rejects.toThrow(/cannot renew itself/)
  const { token } = await actAs(horcrux, 'session', person.cookie).call(auth, 'refresh', {})
  expect(await actAs(horcrux, 'token', token).identity()).toMatchObject({ user: 'admin' })
})

test('signing out ends the session and its tokens; a new password ends all other sessions', async () => {
  await makeUser('mover')
  const [first, second, third] = [
    await signIn(horcrux, 'mover', password),
    await signIn(horcrux, 'mover', password),
    await signIn(horcrux, 'mover', password),
  ]
  expect((await first.call(auth, 'sessions', {})).total).toBe(3)
  await first.call(auth, 'logout', {})
  await expect(first.identity()).rejects.toThrow(AuthenticationError)
  await expect(
    second.call(auth, 'password', { old_password: 'wrong', new_password: 'Apfelstrudel-3' }),
  ).rejects.toThrow(/password is wrong/)
  await second.call(auth, 'password', { old_password: password, new_password: 'Apfelstrudel-3' })
  await expect(third.identity()).rejects.toThrow(AuthenticationError)
  await second.identity()
  await expect(signIn(horcrux, 'mover', password)).rejects.toThrow(AuthenticationError)
  await signIn(horcrux, 'mover', 'Apfelstrudel-3')
})

test('a hash of lesser parameters is made anew when its user signs in', async () => {
  const { hash, argon2id } = await import('argon2')
  await makeUser('old-timer')
  const weak = await hash(password, { type: argon2id, memoryCost: 8192, timeCost: 1, parallelism: 1 })
  await stored.updateWhere({ _id: 'old-timer' }, { set: { password_hash: weak } })
  await signIn(horcrux, 'old-timer', password)
  expect((await stored.require('old-timer')).password_hash).toContain('m=19456,')
  await signIn(horcrux, 'old-timer', password)
})

test('a ticket opens one connection, for its own credential, and expires after 30 seconds', async () => {
  const person = await signIn(horcrux, admin.username, admin.password)
  const redeem = (ticket: string) => horcrux.call(auth, 'redeem', { ticket, address })
  const { ticket } = await person.call(auth, 'wsTicket', {})
  const both = await Promise.allSettled([redeem(ticket), redeem(ticket)])
  expect(both.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
  const late = await person.call(auth, 'wsTicket', {})
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 31_000 })
  await expect(redeem(late.ticket)).rejects.toThrow(/older than 30 seconds/)
  vi.useRealTimers()
  const orphan = await person.call(auth, 'wsTicket', {})
  await person.call(auth, 'logout', {})
  await expect(redeem(orphan.ticket)).rejects.toThrow(AuthenticationError)
})

test('every action that is not for anyone refuses a caller who has not signed in', async () => {
  await expect(horcrux.call(users, 'list', {}, { caller: anonymous })).rejects.toThrow(AuthenticationError)
  await makeUser('plain')
  const plain = await signIn(horcrux, 'plain', password)
  await expect(plain.call(users, 'create', { username: 'x-y-z', password })).rejects.toThrow(
    "User 'plain' lacks the privilege UserModify on /api/users",
  )
  expect((await plain.call(users, 'list', {})).data.map(({ username }) => username)).toEqual(['plain'])
})
