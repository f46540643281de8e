import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { contracts } from '#shared/contracts/index.ts'
import { auditService } from '../../services/audit/service.ts'
import { authService } from '../../services/auth/service.ts'
import { createGateway } from '../../services/gateway/service.ts'
import { startHorcrux, type TestHorcrux } from '../lab/product/horcrux.ts'
import { ask } from '../lab/clients/http.ts'
import { missingForNats } from '../lab/bus/nats.ts'
import { available } from '../lab/requirements.ts'
import { openSocket } from '../lab/clients/sockets.ts'

const hasNats = available('nats', await missingForNats())
const gateway = createGateway(contracts.filter(({ name }) => !['vms', 'pools', 'volumes', 'nodes'].includes(name)))
const password = 'Correct-horse-1'
let horcrux: TestHorcrux

const login = (username: string) => ask(gateway.url(), 'POST /api/auth/login', { json: { username, password } })
const tokenOf = async (username: string) => String((await login(username)).body['token'])

describe.skipIf(!hasNats)('signing in through the gateway', () => {
  beforeAll(async () => {
    horcrux = await startHorcrux({
      services: [auditService, authService, gateway],
      config: { port: 0, rateLimit: 0, loginLimit: 0, trustedProxies: [], adminPassword: password },
    })
  })
  afterAll(() => horcrux?.stop())

  test('gives a token and a cookie, and either shows the session', async () => {
    const { status, headers, body } = await login('admin')
    expect(status).toBe(200)
    expect(headers['set-cookie']).toMatch(/^horcrux_session=[^;]+; Path=\/; Expires=.* GMT; HttpOnly; SameSite=Strict$/)
    const cookie = headers['set-cookie']!.split(';')[0]!
    for (const proof of [{ cookie }, { authorization: `Bearer ${String(body['token'])}` }])
      expect(await ask(gateway.url(), 'GET /api/auth/session', { headers: proof })).toMatchObject({ status: 200 })
    const out = await ask(gateway.url(), 'POST /api/auth/logout', { headers: { cookie, 'x-horcrux-request': '1' } })
    expect(out.status).toBeLessThan(300)
    expect(out.headers['set-cookie']).toContain('Expires=Thu, 01 Jan 1970')
    expect(await ask(gateway.url(), 'GET /api/auth/session', { headers: { cookie } })).toMatchObject({ status: 401 })
  })

  test('a user who is switched off loses token and events', async () => {
    const token = await tokenOf('admin')
    const made = await ask(gateway.url(), 'POST /api/users', { token, json: { username: 'carol', password } })
    expect(made).toMatchObject({ status: 201, headers: { location: '/api/users/carol' } })
    const carol = await tokenOf('carol')
    const socket = await openSocket(gateway.url(), { first: { token: carol, topics: ['operations'] } })
    await socket.next('Subscribed')
    expect(await ask(gateway.url(), 'GET /api/auth/session', { token: carol })).toMatchObject({ status: 200 })
    expect(await ask(gateway.url(), 'PATCH /api/users/carol', { token, json: { enabled: false } })).toMatchObject({
      status: 200,
    })
    expect(await socket.closed).toMatchObject({ code: 4401 })
    expect(await ask(gateway.url(), 'GET /api/auth/session', { token: carol })).toMatchObject({ status: 401 })
  })

  test('a ticket opens one WebSocket, once', async () => {
    const { body } = await ask(gateway.url(), 'POST /api/auth/ws-ticket', { token: await tokenOf('admin') })
    const query = `?ticket=${String(body['ticket'])}`
    const socket = await openSocket(gateway.url(), { query, first: { topics: ['operations'] } })
    await socket.next('Subscribed')
    await expect(openSocket(gateway.url(), { query })).rejects.toThrow('401')
    socket.socket.close()
  })

  test('a user without rights is told which one is missing, and where', async () => {
    const token = await tokenOf('admin')
    await ask(gateway.url(), 'POST /api/users', { token, json: { username: 'dave', password } })
    const { status, body } = await ask(gateway.url(), 'DELETE /api/users/carol', { token: await tokenOf('dave') })
    expect(status).toBe(403)
    expect(body['message']).toMatch(/User 'dave' lacks the privilege UserModify on \/api\/users\/carol/)
  })
})
