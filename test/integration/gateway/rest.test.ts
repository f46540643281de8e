import { connect } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { contracts } from '#shared/contracts/index.ts'
import { createGateway } from '../../../services/gateway/service.ts'
import { asker, startThings } from '../../lab/product/gateway-only.ts'
import { hold, identified, people, resetPeople, tellAuthChanged, things } from '../../lab/product/things.ts'
import type { TestHorcrux } from '../../lab/product/horcrux.ts'
import { missingForNats } from '../../lab/bus/nats.ts'
import { available } from '../../lab/requirements.ts'

const hasNats = available('nats', await missingForNats())
const gateway = createGateway([...contracts.filter(({ name }) => name === 'operations'), things])
let horcrux: TestHorcrux

const { ask, asAnn, make } = asker(gateway)

describe.skipIf(!hasNats)('the gateway', () => {
  beforeAll(async () => {
    horcrux = await startThings([gateway])
  })
  afterAll(() => horcrux?.stop())
  beforeEach(async () => {
    resetPeople()
    await tellAuthChanged()
    hold.grow = hold.create = Promise.resolve()
  })

  test('makes, shows, changes and deletes a resource', async () => {
    const made = await asAnn('POST /api/things', { json: { id: 'first', name: 'first', size: 2 } })
    expect(made).toMatchObject({ status: 201, headers: { etag: '"1"', location: '/api/things/first' } })
    expect(made.body).toMatchObject({ id: 'first', size: 2, version: 1 })
    const shown = await asAnn('GET /api/v1/things/first')
    expect(shown).toMatchObject({ status: 200, body: { id: 'first' } })
    expect(shown.headers['content-type']).toBe('application/json; charset=utf-8')
    const changed = await asAnn('PATCH /api/things/first', { json: { size: 4 } })
    expect(changed).toMatchObject({ status: 200, headers: { etag: '"2"' }, body: { size: 4 } })
    expect(await asAnn('DELETE /api/things/first')).toMatchObject({ status: 204, text: '' })
    expect(await asAnn('GET /api/things/first')).toMatchObject({
      status: 404,
      body: { error: 'NOT_FOUND', message: "Thing 'first' not found" },
    })
  })

  test('sends a long list in gzip to clients that accept it, and a resource with its ETag as it is', async () => {
    for (let index = 0; index < 30; index++)
      await asAnn('POST /api/things', { json: { id: `long-${index}`, name: `long-${index}`, size: 2 } })
    const plain = await asAnn('GET /api/things?limit=100')
    const packed = await asAnn('GET /api/things?limit=100', { headers: { 'accept-encoding': 'gzip, deflate' } })
    expect(packed.headers).toMatchObject({ 'content-encoding': 'gzip', etag: plain.headers['etag'] })
    expect(packed.headers['vary']).toContain('accept-encoding')
    expect(packed.body).toEqual(plain.body)
    const one = await asAnn('GET /api/things/long-1', { headers: { 'accept-encoding': 'gzip' } })
    expect(one.headers['content-encoding']).toBeUndefined()
  })

  describe('mistakes in a request', () => {
    test('are reported all in one answer', async () => {
      const { status, body } = await asAnn('POST /api/things', { json: { name: 'no spaces', size: 3, color: 'green' } })
      expect(status).toBe(422)
      expect(body).toMatchObject({ status: 422, error: 'VALIDATION_ERROR', retryable: false })
      expect((body['violations'] as { field: string }[]).map(({ field }) => field).sort()).toEqual([
        'color',
        'name',
        'size',
      ])
    })
    test('unknown fields are named, and nothing is made out of text', async () => {
      const { body } = await asAnn('POST /api/things', { json: { name: 'a', size: '2', colour: 'red' } })
      expect(body['violations']).toEqual(
        expect.arrayContaining([
          { field: 'colour', code: 'additionalProperties', message: 'is not known here' },
          { field: 'size', code: 'type', message: 'must be an integer' },
        ]),
      )
    })
    test.each(['5.5', '', '0x10', 'true', '1e2'])('limit=%s in a query is not a whole number', async (limit) => {
      const { status, body } = await asAnn(`GET /api/things?limit=${limit}`)
      expect({ status, field: (body['violations'] as { field: string }[])[0]?.field }).toEqual({
        status: 422,
        field: 'limit',
      })
    })
    test('a repeated parameter and everything else in the same answer', async () => {
      const { status, body } = await asAnn('GET /api/things?limit=0&offset=1&offset=2&what=1')
      expect(status).toBe(422)
      expect((body['violations'] as { field: string }[]).map(({ field }) => field).sort()).toEqual([
        'limit',
        'offset',
        'what',
      ])
    })
    test('a parameter that differs between path and body', async () => {
      await make({ id: 'twice', name: 'twice', size: 2 })
      const { status, body } = await asAnn('PATCH /api/things/twice', { json: { id: 'other', size: 4 } })
      expect(status).toBe(422)
      expect(body['violations']).toMatchObject([{ field: 'id', code: 'mismatch' }])
      expect((await asAnn('PATCH /api/things/twice', { json: { id: 'twice', size: 4 } })).status).toBe(200)
    })
    test('malformed JSON, with its place', async () => {
      const { status, body } = await asAnn('POST /api/things', { raw: '{"name": "a",\n "size" 2}' })
      expect({ status, body }).toMatchObject({ status: 400, body: { error: 'BAD_REQUEST', details: { line: 2 } } })
    })
    test.each(['[1]', '"text"', '7'])('a body that is %s', async (raw) => {
      const { status, body } = await asAnn('POST /api/things', { raw })
      expect(status).toBe(422)
      expect(body['violations']).toContainEqual({ field: 'body', code: 'type', message: 'must be an object' })
    })
    test('a content type that is not JSON', async () => {
      const { status, body } = await asAnn('POST /api/things', {
        raw: 'a=1',
        headers: { 'content-type': 'text/plain' },
      })
      expect({ status, body }).toMatchObject({ status: 400, body: { error: 'BAD_REQUEST' } })
      expect(body['message']).toContain('application/json')
    })
    test('an empty body counts as no body, with every content type', async () => {
      await make({ id: 'empty', name: 'empty', size: 2 })
      const headers = { 'content-type': 'application/x-www-form-urlencoded' }
      const { status, body } = await asAnn('POST /api/things/empty/grow', { raw: '', headers })
      // What is missing is said, and nothing of a content type.
      expect({ status, body }).toMatchObject({ status: 422, body: { violations: [{ field: 'by' }] } })
    })
    test('a body that is nested too deep, with an idempotency key and without', async () => {
      const raw = `{"name": ${'['.repeat(20_000)}${']'.repeat(20_000)}}`
      const refused = { status: 400, body: { error: 'BAD_REQUEST', details: { limit: 100 } } }
      expect(await asAnn('POST /api/things', { raw })).toMatchObject(refused)
      expect(await asAnn('POST /api/things', { raw, headers: { 'idempotency-key': 'deep' } })).toMatchObject(refused)
      const { status } = await asAnn('POST /api/things', { raw: `{"name": ${'['.repeat(99)}${']'.repeat(99)}}` })
      expect(status).toBe(422)
    })
    test('a filter that is none for the type of its field', async () => {
      const { status, body } = await asAnn('GET /api/things?filter=size:t*')
      expect({ status, body }).toMatchObject({ status: 422, body: { violations: [{ field: 'filter' }] } })
      expect(await asAnn('GET /api/things?filter=size:2')).toMatchObject({ status: 200 })
    })
    test('a body that is too large', async () => {
      const { status, body } = await asAnn('POST /api/things', { json: { name: 'x'.repeat(1_100_000) } })
      expect({ status, body }).toMatchObject({ status: 413, body: { error: 'BAD_REQUEST' } })
    })
    test.each(['/%', '/api/things/%zz', `/api/things/${'x'.repeat(600)}`])(
      'a path that is no URL, or too long, with the request id and the headers of every answer: %#',
      async (path) => {
        const { status, headers, body } = await asAnn(`GET ${path}`, { headers: { 'x-request-id': 'odd.path' } })
        expect({ status, body }).toMatchObject({ status: 400, body: { error: 'BAD_REQUEST', request_id: 'odd.path' } })
        expect(headers).toMatchObject({ 'x-request-id': 'odd.path', 'x-content-type-options': 'nosniff' })
      },
    )
    test('a time to wait that is longer than any timer', async () => {
      const id = '00000000-0000-7000-8000-000000000000'
      const { status, body } = await asAnn(`GET /api/operations/${id}/wait?timeout=6000000`)
      expect({ status, body }).toMatchObject({ status: 422, body: { violations: [{ field: 'timeout' }] } })
    })
    test('no such route, and the methods that there are', async () => {
      expect(await asAnn('GET /api/nothing')).toMatchObject({ status: 404, body: { error: 'NOT_FOUND' } })
      const wrongMethod = await asAnn('PUT /api/things/x')
      expect(wrongMethod).toMatchObject({ status: 404, headers: { allow: 'DELETE, GET, PATCH' } })
    })
    test('a bug of ours tells nothing of its inside', async () => {
      const { status, text, body } = await ask('GET /api/breaks')
      expect({ status, body }).toMatchObject({ status: 500, body: { error: 'INTERNAL_ERROR', retryable: false } })
      expect(text).not.toMatch(/inside|stack|\.ts/)
    })
  })

  describe('the identity of a caller', () => {
    test('an anonymous caller may use actions for anyone, and no others', async () => {
      expect(await ask('GET /api/hello')).toMatchObject({ status: 200, body: { user: 'anonymous' } })
      expect(await ask('GET /api/things')).toMatchObject({ status: 401, body: { error: 'AUTHENTICATION_FAILED' } })
    })
    test.each([
      ['a token', { authorization: 'Bearer ann-token' }],
      ['an API key', { 'x-api-key': 'hx_ann_key' }],
      ['an API key as a bearer', { authorization: 'Bearer hx_ann_key' }],
      ['a session cookie', { cookie: 'a=b; horcrux_session=ann-session' }],
    ])('%s is a proof', async (_, headers) => {
      expect(await ask('GET /api/hello', { headers })).toMatchObject({ body: { user: 'ann' } })
    })
    test('a header counts before the cookie', async () => {
      const headers = { authorization: 'Bearer bob-token', cookie: 'horcrux_session=ann-session' }
      expect(await ask('GET /api/hello', { headers })).toMatchObject({ body: { user: 'bob' } })
    })
    test('a wrong proof is refused only where one is needed', async () => {
      const headers = { cookie: 'horcrux_session=stale' }
      expect(await ask('GET /api/hello', { headers })).toMatchObject({ status: 200, body: { user: 'anonymous' } })
      expect(await ask('GET /api/things', { headers })).toMatchObject({ status: 401 })
      expect(await ask('GET /api/things', { headers: { authorization: 'Basic YTpi' } })).toMatchObject({ status: 401 })
    })
    test('a refusal names subject, privilege and path', async () => {
      const { status, body } = await ask('DELETE /api/things/b1', { token: 'bob-token' })
      expect(status).toBe(403)
      expect(body['message']).toBe("User 'bob' lacks the privilege VmAllocate on /api/things/b1")
    })
    test('an identity is cached for a second, and dropped when a change is announced', async () => {
      await ask('GET /api/hello', { token: 'bob-token' })
      const before = identified.count
      await Promise.all([1, 2, 3].map(() => ask('GET /api/hello', { token: 'bob-token' })))
      expect(identified.count).toBe(before)
      people.delete('bob-token')
      await tellAuthChanged('bob')
      expect(await ask('GET /api/things', { token: 'bob-token' })).toMatchObject({ status: 401 })
    })
    test('a change with the cookie must come from our own page', async () => {
      await make({ id: 'csrf', name: 'csrf', size: 2 })
      const change = (headers: Record<string, string>) =>
        ask('PATCH /api/things/csrf', {
          json: { size: 6 },
          headers: { cookie: 'horcrux_session=ann-session', ...headers },
        })
      expect(await change({})).toMatchObject({
        status: 403,
        body: { details: { missing_header: 'X-Horcrux-Request' } },
      })
      expect(await change({ 'x-horcrux-request': '1', origin: 'http://evil.example' })).toMatchObject({ status: 403 })
      expect(await change({ 'x-horcrux-request': '1', 'sec-fetch-site': 'cross-site' })).toMatchObject({ status: 403 })
      expect(
        await change({ 'x-horcrux-request': '1', origin: gateway.url(), 'sec-fetch-site': 'same-origin' }),
      ).toMatchObject({
        status: 200,
      })
    })
  })

  describe('versions', () => {
    test('If-Match refuses a change of a version that the client has not seen', async () => {
      await make({ id: 'etag', name: 'etag', size: 2 })
      const change = (etag: string) =>
        asAnn('PATCH /api/things/etag', { json: { size: 8 }, headers: { 'if-match': etag } })
      expect(await change('"7"')).toMatchObject({
        status: 412,
        body: { error: 'PRECONDITION_FAILED', details: { version: 1 } },
      })
      expect(await change('W/"1"')).toMatchObject({ status: 412 })
      expect(await change('"1"')).toMatchObject({ status: 200, headers: { etag: '"2"' } })
      expect(await change('*')).toMatchObject({ status: 200 })
    })
    test('If-None-Match is answered 304 when the client has the current version', async () => {
      const { headers } = await asAnn('GET /api/things/etag')
      const again = await asAnn('GET /api/things/etag', { headers: { 'if-none-match': `"0", ${headers['etag']}` } })
      expect(again).toMatchObject({ status: 304, text: '' })
    })
  })

  test('every answer carries its request id, the caller’s own when it is sane', async () => {
    const mine = await ask('GET /api/nothing', { headers: { 'x-request-id': 'my-request.1' } })
    expect(mine).toMatchObject({ headers: { 'x-request-id': 'my-request.1' }, body: { request_id: 'my-request.1' } })
    const odd = await ask('GET /api/nothing', { headers: { 'x-request-id': 'a b\tc' } })
    expect(odd.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/)
    expect(odd.body['request_id']).toBe(odd.headers['x-request-id'])
  })

  test('malformed HTTP and a body that is too large get an error of the same shape', async () => {
    const { hostname, port } = new URL(gateway.url())
    const say = (text: string) =>
      new Promise<string>((resolve, reject) => {
        let heard = ''
        const socket = connect(Number(port), hostname, () => socket.write(text))
        socket.setEncoding('utf8').on('data', (chunk: string) => (heard += chunk))
        socket.on('end', () => resolve(heard)).on('error', reject)
      })
    const bodyOf = (answer: string) => JSON.parse(answer.slice(answer.indexOf('\r\n\r\n'))) as object
    const nonsense = await say('nonsense\r\n\r\n')
    expect(nonsense).toMatch(/^HTTP\/1\.1 400 /)
    expect(bodyOf(nonsense)).toMatchObject({ status: 400, error: 'BAD_REQUEST', retryable: false })
    const requestId = /^x-request-id: (.+)\r$/m.exec(nonsense)?.[1]
    expect(bodyOf(nonsense)).toMatchObject({ request_id: requestId })
    const long = await say(`GET /healthz HTTP/1.1\r\nhost: x\r\nx-long: ${'x'.repeat(40_000)}\r\n\r\n`)
    expect(long).toMatch(/^HTTP\/1\.1 431 /)
    expect(bodyOf(long)).toMatchObject({ status: 431, error: 'BAD_REQUEST' })
  })

  test('security headers are on every answer, and pages can be read', async () => {
    expect((await ask('GET /api/hello')).headers).toMatchObject({
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
    })
    const landing = await ask('GET /')
    expect(landing).toMatchObject({ status: 200, headers: { 'content-type': 'text/html; charset=utf-8' } })
    expect(landing.headers['content-security-policy']).toContain("default-src 'none'")
    expect((await ask('GET /api/docs/')).status).toBe(200)
  })
})
