import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Caller } from '#shared/access/access.ts'
import { auth } from '#shared/contracts/access/auth.ts'
import { AuthenticationError } from '#shared/errors.ts'
import { issuedSetupToken } from '../../../services/auth/sign-in/first-start.ts'
import { authService } from '../../../services/auth/service.ts'
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

test('a login gives a token that identifies the user', async () => {
  const { token, user } = await login('alice', password)
  expect(user.username).toBe('alice')
  const identity = await horcrux.call(auth, 'identify', { by: 'token', credential: token, address: '192.0.2.1' })
  expect(identity.user).toBe('alice')
  const { rights } = await horcrux.call(auth, 'rights', { name: identity.rights })
  expect(rights).toEqual([{ path: '/', privileges: expect.arrayContaining(['VmAllocate', 'UserModify']) }])
})
