import { createSecretKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import jwt from 'jsonwebtoken'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Caller } from '#shared/access/access.ts'
import { auth } from '#shared/contracts/access/auth.ts'
import { AuthenticationError, type AppError, ValidationError } from '#shared/errors.ts'
import { issuedSetupToken } from '../../../services/auth/sign-in/first-start.ts'
import { authService } from '../../../services/auth/service.ts'
import { signingKey } from '../../../services/auth/credentials/signing-keys.ts'
import { startHorcrux, type TestHorcrux } from '../../lab/product/horcrux.ts'

let horcrux: TestHorcrux
let kid: string
let key: KeyObject
let sid: string
let honest: string
const anonymous: Caller = { kind: 'anonymous', address: '192.0.2.1' }
const credentials = { username: 'alice', password: 'Sonnenblume-7' }

beforeAll(async () => {
  horcrux = await startHorcrux({ services: [authService] })
  const token = issuedSetupToken()!
  await horcrux.call(auth, 'setup', { token, ...credentials }, { caller: anonymous })
  const signedIn = await horcrux.call(auth, 'login', credentials, { caller: anonymous })
  honest = signedIn.token
  ;({ kid, key } = await signingKey())
  sid = (jwt.decode(honest) as { sid: string }).sid
})
afterAll(() => horcrux?.stop())

const b64 = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
const seconds = () => Math.floor(Date.now() / 1000)
const claims = () => ({ sub: 'alice', sid, iss: 'horcrux', aud: 'horcrux', iat: seconds(), exp: seconds() + 600 })
/** Signed with the true key, by the true algorithm: only what is given differs from an honest token. */
const signed = (payload: object = {}, header: object = {}, by: jwt.Secret = key, algorithm: jwt.Algorithm = 'HS256') =>
  jwt.sign({ ...claims(), ...payload }, by, { algorithm, header: { alg: algorithm, kid, ...header } })
const without = (...names: string[]) =>
  jwt.sign(Object.fromEntries(Object.entries(claims()).filter(([name]) => !names.includes(name))), key, {
    keyid: kid,
    noTimestamp: names.includes('iat'),
  })
const unsigned = (header: object, payload: object = claims()) => `${b64(header)}.${b64(payload)}.`
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const parts = () => honest.split('.') as [string, string, string]

const hostile: Record<string, () => string> = {
  'no algorithm': () => unsigned({ alg: 'none', kid }),
  'no algorithm, written otherwise': () => unsigned({ alg: 'nOnE', kid }),
  'no algorithm, with the true signature': () => `${b64({ alg: 'none', kid })}.${parts()[1]}.${parts()[2]}`,
  'no algorithm named at all': () => unsigned({ kid }),
  'HS384 with the true key': () => signed({}, {}, key, 'HS384'),
  'HS512 with the true key': () => signed({}, {}, key, 'HS512'),
  'RS256 with a key of its own': () => signed({}, {}, rsa.privateKey, 'RS256'),
  'HS256 with a public key as the secret': () =>
    signed({}, {}, createSecretKey(Buffer.from(rsa.publicKey.export({ type: 'spki', format: 'pem' })))),
  'another secret': () => signed({}, {}, createSecretKey(Buffer.alloc(32, 7))),
  'the empty secret': () => `${parts()[0]}.${parts()[1]}.${b64('')}`,
  'an unknown kid': () => signed({}, { kid: '00000000-0000-7000-8000-000000000000' }),
  'no kid': () => jwt.sign(claims(), key),
  'a kid that climbs to a file': () => signed({}, { kid: '../../../../dev/null' }),
  'a kid that asks a database': () => signed({}, { kid: "x' OR '1'='1" }),
  'a kid that is an operator': () => `${b64({ alg: 'HS256', kid: { $gt: '' } })}.${parts()[1]}.${parts()[2]}`,
  'a kid of ten thousand characters': () => signed({}, { kid: 'a'.repeat(1500) }),
  'its own key in the header (jwk)': () =>
    signed({}, { jwk: { kty: 'oct', k: b64('evil') } }, createSecretKey(Buffer.from('evil'.repeat(8)))),
  'a key to be fetched (jku)': () => signed({}, { jku: 'http://127.0.0.1/keys' }, createSecretKey(Buffer.alloc(32, 9))),
  'a critical extension': () => signed({}, { crit: ['exp'] }),
  expired: () => signed({ iat: seconds() - 1000, exp: seconds() - 1 }),
  'without an end': () => without('exp'),
  'without a beginning': () => without('iat'),
  'a life of ten years': () => signed({ exp: seconds() + 315_360_000 }),
  'not valid yet': () => signed({ nbf: seconds() + 300 }),
  'made in the future': () => signed({ iat: seconds() + 3600, exp: seconds() + 4000 }),
  'an end that is text': () => `${b64({ alg: 'HS256', kid })}.${b64({ ...claims(), exp: 'never' })}.${parts()[2]}`,
  'another issuer': () => signed({ iss: 'elsewhere' }),
  'for another audience': () => signed({ aud: 'elsewhere' }),
  'without a user': () => without('sub'),
  'without a session': () => without('sid'),
  'a session that does not exist': () => signed({ sid: '00000000-0000-7000-8000-000000000000' }),
  "another user's name on the session": () => signed({ sub: 'bob' }),
  'a user that is an object': () =>
    `${b64({ alg: 'HS256', kid })}.${b64({ ...claims(), sub: { $ne: '' } })}.${parts()[2]}`,
  'a payload put under the true signature': () => `${parts()[0]}.${b64({ ...claims(), sub: 'root' })}.${parts()[2]}`,
  'a flipped signature': () =>
    `${parts()[0]}.${parts()[1]}.${parts()[2].replace(/^./, (c) => (c === 'A' ? 'B' : 'A'))}`,
  'a payload that is no object': () => `${parts()[0]}.${b64('"alice"')}.${parts()[2]}`,
  'a header that is no JSON': () => `${b64('{alg')}.${parts()[1]}.${parts()[2]}`,
  'two parts': () => parts().slice(0, 2).join('.'),
  'five parts, as if encrypted': () => `${honest}.a.b`,
  'an empty text': () => '',
  'only dots': () => '..',
  'spaces inside': () => honest.replace('.', '. '),
  'a newline behind': () => `${honest}\n`,
  'padding behind': () => `${honest}==`,
  huge: () => signed({ filler: 'x'.repeat(3000) }),
  enormous: () => 'a.'.repeat(100_000),
  'the session cookie of somebody in place of a token': () => sid,
}

const identify = (credential: string) =>
  horcrux.call(auth, 'identify', { by: 'token', credential, address: '192.0.2.1' })

test('the honest token is accepted', async () => {
  expect(await identify(honest)).toMatchObject({ user: 'alice', credential: { by: 'token', id: sid } })
})

describe('a hostile token is refused as one, never a failure of ours', () => {
  test.each(Object.keys(hostile))('%s', async (name) => {
    const error: AppError = await identify(hostile[name]!()).then(
      () => Promise.reject(new Error('it was accepted')),
      (refusal: AppError) => refusal,
    )
    expect(error instanceof AuthenticationError || error instanceof ValidationError).toBe(true)
  })
})

test('a token of a rotated key stays valid; a token of a revoked key does not', async () => {
  await horcrux.call(auth, 'rotateKeys', { revoke: false })
  expect(await identify(honest)).toMatchObject({ user: 'alice' })
  const { token } = await horcrux.call(auth, 'login', credentials, { caller: anonymous })
  expect(jwt.decode(token, { complete: true })?.header.kid).not.toBe(kid)
  await horcrux.call(auth, 'rotateKeys', { revoke: true })
  await expect(identify(honest)).rejects.toThrow(AuthenticationError)
  await expect(identify(token)).rejects.toThrow(AuthenticationError)
})
