import { request } from 'node:http'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { contracts } from '#shared/contracts/index.ts'
import { auditService } from '../../../services/audit/service.ts'
import { authService } from '../../../services/auth/service.ts'
import { createGateway } from '../../../services/gateway/service.ts'
import { admin } from '../../lab/people/auth.ts'
import { startHorcrux, type TestHorcrux } from '../../lab/product/horcrux.ts'
import { type Answered, ask } from '../../lab/clients/http.ts'
import { openSocket } from '../../lab/clients/sockets.ts'
import { until } from '../../lab/wait.ts'

const gateways = [createGateway(contracts), createGateway(contracts)] as const
const password = 'Kirschkuchen-12'
let horcrux: TestHorcrux
let token: string

const at = (which: 0 | 1, line: string, given: Parameters<typeof ask>[2] = {}) =>
  ask(gateways[which].url(), line, given)
const from = (address: string) => ({ headers: { 'x-forwarded-for': address } })
const signIn = (which: 0 | 1, username: string, secret: string, address: string) =>
  at(which, 'POST /api/auth/login', { json: { username, password: secret }, ...from(address) })
const asRoot = (line: string, json?: object) => at(0, line, { token, ...(json && { json }) })

beforeAll(async () => {
  horcrux = await startHorcrux({
    services: [auditService, authService, ...gateways],
    // The limit of tries is none of the other one's business.
    config: { port: 0, rateLimit: 0, adminPassword: admin.password, trustedProxies: ['127.0.0.0/8'] },
  })
  token = String((await signIn(0, admin.username, admin.password, '192.0.2.1')).body['token'])
})
afterAll(() => horcrux?.stop())

const cookieOf = ({ headers }: Answered) => String(headers['set-cookie']).split(';')[0]!

test('five tries a minute of an address are looked at, however many gateways it asks', async () => {
  const tries = await Promise.all(
    Array.from({ length: 8 }, (_, i) => signIn(i % 2 ? 1 : 0, `nobody-${i}`, 'wrong', '192.0.2.50')),
  )
  expect(tries.filter(({ status }) => status === 401)).toHaveLength(5)
  const refused = tries.filter(({ status }) => status === 429)
  expect(refused).toHaveLength(3)
  for (const { headers } of refused) {
    expect(headers).toMatchObject({ 'x-ratelimit-limit': '5', 'x-ratelimit-remaining': '0' })
    expect(Number(headers['retry-after'])).toBeGreaterThan(0)
    expect(Number(headers['retry-after'])).toBeLessThanOrEqual(60)
  }
  expect((await signIn(1, admin.username, admin.password, '192.0.2.51')).status).toBe(200)
})

test('guessing passwords raises one alert, sent only to users who may audit the system', async () => {
  await asRoot('POST /api/users', { username: 'plain', password })
  const plain = String((await signIn(0, 'plain', password, '192.0.2.60')).body['token'])
  const topics = ['alerts']
  const auditor = await openSocket(gateways[1].url(), { first: { token, topics } })
  const other = await openSocket(gateways[1].url(), { first: { token: plain, topics } })
  await Promise.all([auditor.next('Subscribed'), other.next('Subscribed')])
  for (let i = 0; i < 13; i++) await signIn(i % 2 ? 1 : 0, 'plain', 'wrong', `192.0.2.${100 + i}`)
  expect((await auditor.next('AlertTriggered')).data).toMatchObject({
    name: 'brute_force',
    severity: 'critical',
    message: '10 failed attempts within 15 minutes for the user plain',
  })
  const recorded = () => asRoot('GET /api/audit/events?kind=brute_force_detected&user=plain')
  await until(async () => (await recorded()).body['total'] === 1, { what: 'the record in the audit' })
  expect(auditor.events().filter(({ type }) => type === 'AlertTriggered')).toHaveLength(1)
  expect(other.events()).toEqual([])
  auditor.socket.close()
  other.socket.close()
})

test('a proof that is revoked while the body is on its way is refused with it', async () => {
  const made = await asRoot('POST /api/users/admin/api-keys', { name: 'slow' })
  const { id, key } = made.body as { id: string; key: string }
  const name = `TooLate${id.slice(0, 8)}`
  const body = JSON.stringify({ name, privileges: ['VmAudit'] })
  const client = request(new URL('/api/roles', gateways[1].url()), {
    method: 'POST',
    headers: { 'x-api-key': key, 'content-type': 'application/json', 'content-length': body.length },
  })
  const status = new Promise<number>((resolve, reject) => {
    client.on('response', (answer) => resolve(answer.resume().statusCode ?? 0)).on('error', reject)
  })
  client.write(body.slice(0, 10))
  // The key was looked at when the head came: its first use is on record then.
  const isUsed = async () => {
    const { body: list } = await asRoot('GET /api/users/admin/api-keys')
    return (list['data'] as { id: string; last_used_at: string | null }[]).find((one) => one.id === id)?.last_used_at
  }
  await until(isUsed, { what: 'the key to be looked at' })
  expect((await asRoot(`DELETE /api/users/admin/api-keys/${id}`)).status).toBe(204)
  // The change reaches the other gateway over the bus, on another way than this client's body.
  const isRefused = async () =>
    (await at(1, 'GET /api/roles/Auditor', { headers: { 'x-api-key': key } })).status === 401
  await until(isRefused, { what: 'the other gateway to hear of the change' })
  client.end(body.slice(10))
  expect(await status).toBe(401)
  expect((await asRoot(`GET /api/roles/${name}`)).status).toBe(404)
})

test('a key that is revoked amid many requests is refused by each gateway, and then for good', async () => {
  const made = await asRoot('POST /api/users/admin/api-keys', { name: 'busy' })
  const { id, key } = made.body as { id: string; key: string }
  /** When the first request that a gateway refused was answered. */
  const refusedAt = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]
  const late: number[] = []
  const early: number[] = []
  const worker = async (which: 0 | 1) => {
    while (late.length < 40) {
      const begun = performance.now()
      const { status } = await at(which, 'GET /api/roles/Auditor', { headers: { 'x-api-key': key } })
      if (status === 401) refusedAt[which] = Math.min(refusedAt[which]!, performance.now())
      if (begun > refusedAt[which]!) late.push(status)
      else early.push(status)
    }
  }
  const workers = Promise.all([worker(0), worker(1), worker(0), worker(1)])
  await until(() => early.length > 20)
  await asRoot(`DELETE /api/users/admin/api-keys/${id}`)
  await workers
  expect(early).toContain(200)
  expect(new Set(late)).toEqual(new Set([401]))
})

test('a ticket is used once over both gateways, and a cookie works only from our own page', async () => {
  const { body } = await asRoot('POST /api/auth/ws-ticket')
  const query = `?ticket=${String(body['ticket'])}`
  const opened = await Promise.allSettled([
    openSocket(gateways[0].url(), { query }),
    openSocket(gateways[1].url(), { query }),
  ])
  expect(opened.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
  for (const one of opened) if (one.status === 'fulfilled') one.value.socket.close()

  const cookie = cookieOf(await signIn(0, admin.username, admin.password, '192.0.2.70'))
  const change = (headers: Record<string, string>) =>
    at(1, 'POST /api/roles', { headers: { cookie, ...headers }, json: { name: 'Forged', privileges: ['VmAudit'] } })
  const sent = { 'x-horcrux-request': '1' }
  const foreign: Record<string, string>[] = [
    {},
    { origin: gateways[1].url() },
    { ...sent, origin: 'https://elsewhere.example' },
    { ...sent, origin: 'null' },
    { ...sent, origin: gateways[1].url().replace('127.0.0.1', '127.0.0.1.elsewhere.example') },
    { ...sent, origin: gateways[0].url() },
    { ...sent, 'sec-fetch-site': 'cross-site' },
    { ...sent, 'sec-fetch-site': 'same-site' },
  ]
  for (const headers of foreign) expect((await change(headers)).status, JSON.stringify(headers)).toBe(403)
  expect((await asRoot('GET /api/roles/Forged')).status).toBe(404)
  for (const stale of [`${cookie}x`, cookie.slice(0, -1), 'horcrux_session=', 'horcrux_session=%00'])
    expect((await at(1, 'GET /api/auth/session', { headers: { cookie: stale } })).status, stale).toBe(401)
  expect((await change({ ...sent, origin: gateways[1].url() })).status).toBe(201)
})
