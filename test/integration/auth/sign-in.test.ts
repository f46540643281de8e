import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Caller } from '#shared/access/access.ts'
import { auth } from '#shared/contracts/access/auth.ts'
import { AuthenticationError } from '#shared/errors.ts'
import { issuedSetupToken } from '../../../services/auth/sign-in/first-start.ts'
import { authService } from '../../../services/auth/service.ts'
import { callerOf } from '../../lab/people/auth.ts'
import { startHorcrux, type TestHorcrux } from '../../lab/product/horcrux.ts'

let horcrux: TestHorcrux
const password = 'Sonnenblume-7'
const anonymous: Caller = { kind: 'anonymous', address: '192.0.2.1' }

beforeAll(async () => {
  horcrux = await startHorcrux({ services: [authService] })
})
afterAll(() => horcrux?.stop())

const login = (username: string, secret: string) =>
  horcrux.call(auth, 'login', { username, password: secret }, { caller: anonymous })

test('the set-up token makes the first administrator, once', async () => {
  const token = issuedSetupToken()!
  const setup = (given: string) =>
    horcrux.call(auth, 'setup', { token: given, username: 'alice', password }, { caller: anonymous })
  await expect(setup('not-the-token')).rejects.toThrow(AuthenticationError)
  expect(await setup(token)).toMatchObject({ username: 'alice', enabled: true })
  await expect(setup(token)).rejects.toThrow(/wrong, used or expired/)
})

test('a device signs in by a code that a signed-in user confirms, once', async () => {
  expect(await horcrux.call(auth, 'setupNeeded', {}, { caller: anonymous })).toEqual({ needed: false })
  const device: Caller = { kind: 'anonymous', address: '192.0.2.9' }
  const begin = () => horcrux.call(auth, 'deviceBegin', { name: 'horcrux on desk' }, { caller: device })
  const { token } = await login('alice', password)
  const alice = callerOf(await horcrux.call(auth, 'identify', { by: 'token', credential: token, address: '192.0.2.1' }))
  const decide = (user_code: string, approve: boolean) =>
    horcrux.call(auth, 'deviceConfirm', { user_code, approve }, { caller: alice })
  const take = (device_code: string) => horcrux.call(auth, 'deviceToken', { device_code }, { caller: device })

  const { device_code, user_code, page } = await begin()
  expect(page).toBe(`/device?code=${user_code}`)
  await expect(take(device_code)).rejects.toThrow(/not confirmed/)
  const shown = await horcrux.call(
    auth,
    'device',
    { user_code: user_code.toLowerCase().replace('-', '') },
    { caller: alice },
  )
  expect(shown).toMatchObject({ user_code, name: 'horcrux on desk', address: '192.0.2.9', state: 'pending' })
  expect(await decide(user_code, true)).toMatchObject({ state: 'approved' })
  await expect(decide(user_code, false)).rejects.toThrow(/approved already/)
  expect(await take(device_code)).toMatchObject({ user: { username: 'alice' } })
  await expect(take(device_code)).rejects.toThrow(AuthenticationError)

  const refused = await begin()
  await decide(refused.user_code, false)
  await expect(take(refused.device_code)).rejects.toThrow(AuthenticationError)
  await expect(decide('BBBB-BBBB', true)).rejects.toThrow(/not found/)
})

test('a login gives a token that identifies the user', async () => {
  const { token, user } = await login('alice', password)
  expect(user.username).toBe('alice')
  const identity = await horcrux.call(auth, 'identify', { by: 'token', credential: token, address: '192.0.2.1' })
  expect(identity.user).toBe('alice')
  const { rights } = await horcrux.call(auth, 'rights', { name: identity.rights })
  expect(rights).toEqual([{ path: '/', privileges: expect.arrayContaining(['VmAllocate', 'UserModify']) }])
})
