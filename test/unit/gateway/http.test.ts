import cookies from '@fastify/cookie'
import Fastify from 'fastify'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { text } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { selfSigned } from '../../../services/gateway/tls/certificate.ts'
import { sendClientError } from '../../../services/gateway/rest/client-errors.ts'
import { credentialOf } from '../../../services/gateway/admission/credentials.ts'
import { errorBody, retryAfterOf } from '../../../services/gateway/rest/errors.ts'
import { ifMatchOf, isNoneMatch } from '../../../services/gateway/rest/etag.ts'
import { landingPage } from '../../../services/gateway/pages/landing.ts'
import { waitSecondsOf } from '../../../services/gateway/rest/prefer.ts'
import { plainAddress, requestIdOf, withoutVersion } from '../../../services/gateway/rest/request-id.ts'
import { isSameOrigin } from '../../../services/gateway/admission/same-origin.ts'
import { ConflictError, UnavailableError, ValidationError } from '#shared/errors.ts'

describe('ETags', () => {
  test.each([
    [undefined, undefined],
    ['*', undefined],
    ['"7"', 7],
    [' "12" ', 12],
    ['"12-2jmj7l5rSw0yVb_vlWAYkK_YBwk"', 12],
  ])('If-Match %s demands %s', (header, version) => expect(ifMatchOf(header)).toBe(version))
  test.each(['7', 'W/"7"', '"7", "8"', '"abc"', '"7-short"', ''])('If-Match %j cannot match', (header) => {
    expect(() => ifMatchOf(header)).toThrow('If-Match')
  })
  test.each([
    ['"1"', true],
    ['W/"1"', true],
    ['"0", "1"', true],
    ['*', true],
    ['"2"', false],
    [undefined, false],
  ])('If-None-Match %s of "1": %s', (header, matches) => expect(isNoneMatch(header, '"1"')).toBe(matches))
})

test.each([
  ['wait=5', 5],
  ['respond-async, wait=10', 10],
  ['wait="7"', 7],
  ['wait=600', 60],
  ['await=9', 0],
  ['wait=-1', 0],
  [undefined, 0],
])('Prefer: %s waits %s s', (header, seconds) => expect(waitSecondsOf(header)).toBe(seconds))

test.each([
  ['/api/v1/vms?x=1', '/api/vms?x=1'],
  ['/api/vms', '/api/vms'],
  ['/api/v10/vms', '/api/v10/vms'],
])('%s is served as %s', (url, served) => expect(withoutVersion(url)).toBe(served))

test('an IPv4 address is called the same over an IPv6 socket', () => {
  expect(plainAddress('::ffff:10.0.0.1')).toBe('10.0.0.1')
  expect(plainAddress('2001:db8::1')).toBe('2001:db8::1')
})

test.each(['a b', 'x'.repeat(65), '', 'a\nb', 'ä'])('the request id %j is not taken over', (given) => {
  expect(requestIdOf({ headers: { 'x-request-id': given } } as never)).toMatch(/^[0-9a-f-]{36}$/)
})

describe('origins', () => {
  const from = (headers: Record<string, string>) => isSameOrigin({ headers, host: 'horcrux.example:8006' } as never)
  test.each([
    [{}, true],
    [{ origin: 'https://horcrux.example:8006' }, true],
    [{ origin: 'https://HORCRUX.example:8006', 'sec-fetch-site': 'same-origin' }, true],
    [{ origin: 'https://horcrux.example' }, false],
    [{ origin: 'null' }, false],
    [{ 'sec-fetch-site': 'same-site' }, false],
    [{ origin: 'https://horcrux.example:8006.evil.example' }, false],
  ])('%j: %s', (headers, same) => expect(from(headers)).toBe(same))
})

test('the credential in a header counts, then the cookie', async () => {
  const app = Fastify()
  await app.register(cookies)
  app.get('/', (request) => ({ found: credentialOf(request) }))
  app.setErrorHandler((error, _, reply) => reply.code(400).send({ message: (error as Error).message }))
  const of = async (headers: Record<string, string>) => {
    const { found, message } = (await app.inject({ url: '/', headers })).json<{ found?: unknown; message?: string }>()
    return message ?? found
  }
  const session = { by: 'session', credential: 'abc', from: 'cookie' }
  expect(await of({ cookie: 'x=1; horcrux_session=abc; y=2' })).toEqual(session)
  expect(await of({ cookie: 'horcrux_session=a%62c; horcrux_session=second' })).toEqual(session)
  expect(await of({ cookie: 'horcrux_session=%E0%A4' })).toMatchObject({ credential: '%E0%A4' })
  expect(await of({ cookie: 'not_horcrux_session=abc' })).toBeNull()
  expect(await of({ cookie: 'horcrux_session=' })).toBeNull()
  expect(await of({ authorization: 'bearer t', cookie: 'horcrux_session=abc' })).toMatchObject({ by: 'token' })
  expect(await of({ 'x-api-key': 'hx_a_b' })).toMatchObject({ by: 'api_key' })
  expect(await of({ authorization: 'Basic abc' })).toContain('Bearer')
})

describe('the error body', () => {
  test('has violations, operation and details in their places', () => {
    const violation = { field: 'memory', code: 'multipleOf', message: 'must be a multiple of 128' }
    expect(errorBody(new ValidationError([violation]), 'r1')).toEqual({
      status: 422,
      error: 'VALIDATION_ERROR',
      message: 'memory: must be a multiple of 128',
      violations: [violation],
      request_id: 'r1',
      timestamp: expect.stringMatching(/Z$/),
      retryable: false,
    })
    const held = new ConflictError('held', { retryable: true, details: { operation_id: 'o1', user: 'ann' } })
    expect(errorBody(held, 'r1')).toMatchObject({ operation_id: 'o1', details: { user: 'ann' }, retryable: true })
  })
  test('says when to come back', () => {
    expect(retryAfterOf(new UnavailableError('no', { retryAfterSeconds: 2 }))).toBe(2)
    expect(retryAfterOf(new ConflictError('no'))).toBeUndefined()
  })
})

test('Node accepts the self-signed certificate for its names', async () => {
  const { cert, key } = await selfSigned(
    { names: ['localhost', 'box'], addresses: ['127.0.0.1', '::1', '2001:db8::7'] },
    10,
  )
  const certificate = new X509Certificate(cert)
  expect(certificate.verify(certificate.publicKey)).toBe(true)
  expect(certificate.checkHost('box')).toBe('box')
  expect(certificate.checkIP('127.0.0.1')).toBe('127.0.0.1')
  expect(certificate.validToDate.getUTCFullYear() - new Date().getUTCFullYear()).toBeGreaterThanOrEqual(9)
  expect(key).toContain('PRIVATE KEY')
})

test.each([
  ['ERR_HTTP_REQUEST_TIMEOUT', 408, 'Request Timeout', true],
  ['HPE_HEADER_OVERFLOW', 431, 'Request Header Fields Too Large', false],
  ['HPE_INVALID_METHOD', 400, 'Bad Request', false],
])('what never became a request (%s) is answered %i', async (code, status, words, retryable) => {
  const server = createServer((socket) => sendClientError(Object.assign(new Error(code), { code }), socket))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  const answer = await text(connect(port, '127.0.0.1'))
  server.close()
  const [head = '', body = ''] = answer.split('\r\n\r\n')
  expect(head).toMatch(`HTTP/1.1 ${status} ${words}`)
  const requestId = /^x-request-id: ([0-9a-f-]{36})$/m.exec(head.replaceAll('\r', ''))?.[1]
  expect(requestId).toBeDefined()
  expect(JSON.parse(body)).toMatchObject({ status, error: 'BAD_REQUEST', retryable, request_id: requestId })
})

test("the landing page's commands take a certificate that curl does not know, and only that one", () => {
  const commands = (isOwnTls: boolean) => landingPage('1.0.0', 'https://horcrux.example', isOwnTls).match(/curl .*/g)
  expect(commands(true)).toEqual([
    expect.stringMatching(/^curl -k -X POST/),
    expect.stringMatching(/^curl -sk -X POST/),
    expect.stringMatching(/^curl -k -H/),
  ])
  expect(commands(false)?.join()).not.toMatch(/curl -s?k/)
})
