import { get as httpsGet } from 'node:https'
import { connect } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { Type } from 'typebox'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { setConfig } from '#shared/config/config.ts'
import { contract } from '#shared/contract/contract.ts'
import { operations } from '#shared/contracts/core/operations.ts'
import { strict } from '#shared/contracts/common.ts'
import { within } from '#shared/runtime/request-context.ts'
import { createGateway, type Gateway } from '../../../services/gateway/service.ts'
import { certificateEnd } from '../../../services/gateway/tls/tls.ts'
import { startThings } from '../../lab/product/gateway-only.ts'
import { hold, ran, resetPeople, things } from '../../lab/product/things.ts'
import type { TestHorcrux } from '../../lab/product/horcrux.ts'
import { ask } from '../../lab/clients/http.ts'
import { missingForNats } from '../../lab/bus/nats.ts'
import { available } from '../../lab/requirements.ts'
import { openSocket } from '../../lab/clients/sockets.ts'
import { until } from '../../lab/wait.ts'

const hasNats = available('nats', await missingForNats())
const ghosts = contract('ghosts', {
  list: { does: 'List ghosts', rest: 'GET /ghosts', can: 'anyone', params: strict({}), result: Type.Null() },
})
const gateway = createGateway([operations, things, ghosts])
let horcrux: TestHorcrux

const from = (address: string) => ({ headers: { 'x-forwarded-for': address } })
const start = async (other: Gateway, config: Parameters<typeof setConfig>[0]) => {
  setConfig(config)
  const caller = { kind: 'service', name: 'gateway' } as const
  const context = { broker: horcrux.broker, service: 'gateway', caller, requestId: 'test' }
  return within(context, () => other.start!(horcrux.broker))
}

describe.skipIf(!hasNats)('the gateway guards itself', () => {
  beforeAll(async () => {
    resetPeople()
    horcrux = await startThings([gateway], { rateLimit: 20, trustedProxies: ['127.0.0.0/8'] })
  })
  afterAll(() => horcrux?.stop())

  test('wrong tokens on the event socket count like other guesses; the fifth closes the connection', async () => {
    const from = '127.0.0.77'
    const guess = () => ask(gateway.url(), 'GET /api/events', { token: 'wrong', localAddress: from })
    const statuses = (await Promise.all(Array.from({ length: 21 }, guess))).map(({ status }) => status)
    expect(statuses.filter((status) => status === 401)).toHaveLength(20)
    expect(statuses.filter((status) => status === 429)).toHaveLength(1)
    const socket = await openSocket(gateway.url())
    for (let tries = 0; tries < 6; tries++) socket.send({ token: `wrong-${tries}` })
    expect(await socket.closed).toEqual({ code: 4401, reason: 'Too many credentials that are not valid' })
    expect(socket.received.filter(({ type }) => type === 'Error').length).toBeGreaterThanOrEqual(4)
  })

  test('a user with too many requests gets Retry-After; other users are not affected', async () => {
    const answers = await Promise.all(
      Array.from({ length: 21 }, () => ask(gateway.url(), 'GET /api/hello', { token: 'ann-token' })),
    )
    const { headers } = answers.find(({ status }) => status === 200)!
    expect(headers).toMatchObject({ 'x-ratelimit-limit': '20' })
    const refused = answers.filter(({ status }) => status === 429)
    expect(refused).toHaveLength(1)
    expect(refused[0]).toMatchObject({
      body: { error: 'RATE_LIMITED', retryable: true },
      headers: { 'x-ratelimit-remaining': '0' },
    })
    expect(Number(refused[0]!.headers['retry-after'])).toBeGreaterThan(0)
    expect((await ask(gateway.url(), 'GET /api/hello', { token: 'bob-token' })).status).toBe(200)
  })

  test('guessing counts against the address, which only a trusted proxy may name', async () => {
    const guesses = await Promise.all(
      Array.from({ length: 21 }, (_, index) =>
        ask(gateway.url(), 'GET /api/things', { token: `guess-${index}`, ...from('192.0.2.7') }),
      ),
    )
    expect(guesses.filter(({ status }) => status === 401)).toHaveLength(20)
    expect(guesses.filter(({ status }) => status === 429)).toHaveLength(1)
    expect((await ask(gateway.url(), 'GET /api/hello', from('192.0.2.8'))).status).toBe(200)
  })

  test('a missing service is a 503 that names it', async () => {
    const { status, headers, body } = await ask(gateway.url(), 'GET /api/ghosts', from('192.0.2.9'))
    expect({ status, body }).toMatchObject({
      status: 503,
      body: { error: 'SERVICE_UNAVAILABLE', retryable: true, details: { service: 'ghosts' } },
    })
    expect(Number(headers['retry-after'])).toBeGreaterThan(0)
  })

  test('readiness names the missing services; liveness does not depend on them', async () => {
    expect(await ask(gateway.url(), 'GET /healthz')).toMatchObject({ status: 200, body: { status: 'ok' } })
    expect(await ask(gateway.url(), 'GET /readyz')).toMatchObject({
      status: 503,
      body: { details: { missing: ['ghosts'] } },
    })
  })

  test('over TLS, with a certificate of its own that is made once', async () => {
    const fingerprints: string[] = []
    for (let round = 0; round < 2; round++) {
      const other = createGateway([things])
      const stop = await start(other, { tls: 'self-signed' })
      const { promise, resolve, reject } = Promise.withResolvers<string>()
      httpsGet(`${other.url()}/api/hello`, { rejectUnauthorized: false }, (answer) => {
        const { fingerprint256, valid_to } = (answer.socket as TLSSocket).getPeerCertificate()
        expect(certificateEnd()).toEqual(new Date(valid_to))
        answer.resume()
        resolve(fingerprint256)
      }).on('error', reject)
      fingerprints.push(await promise)
      await stop()
    }
    setConfig({ tls: 'off' })
    expect(new Set(fingerprints).size).toBe(1)
  })

  test('a gateway that stops finishes its requests and closes its sockets with the reason', async () => {
    const other = createGateway([operations, things])
    const stop = await start(other, {})
    const socket = await openSocket(other.url(), { first: { token: 'ann-token', topics: ['vm:events'] } })
    await socket.next('Subscribed')
    const { promise, resolve } = Promise.withResolvers<void>()
    hold.create = promise
    const before = ran.create
    const running = ask(other.url(), 'POST /api/things', {
      headers: { 'x-api-key': 'hx_ann_key', 'x-forwarded-for': '192.0.2.10' },
      json: { name: 'late', size: 2 },
    })
    await until(async () => ran.create > before)
    const stopped = Promise.resolve(stop())
    expect(await socket.closed).toEqual({ code: 1001, reason: 'The gateway is stopping' })
    resolve()
    expect((await running).status).toBe(201)
    await stopped
    const { hostname, port } = new URL(other.url())
    await expect(
      new Promise((accepted, refused) => connect(Number(port), hostname, () => accepted('open')).on('error', refused)),
    ).rejects.toThrow('ECONNREFUSED')
  })
})
