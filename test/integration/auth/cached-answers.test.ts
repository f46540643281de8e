import { request } from 'node:http'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { recordAudit } from '#shared/audit/audit.ts'
import { type SignedIn, startSignedIn } from '../../lab/people/signed-in.ts'

let lab: SignedIn
beforeAll(async () => {
  lab = await startSignedIn()
})
afterAll(() => lab?.stop())

test('a kept answer is not given to another proof that has fewer rights', async () => {
  const owner = await lab.person('owner', ['VmAdmin', '/'])
  const bot = await lab.keyOf(owner, 'owner', [{ role: 'VmUser', path: '/api/things/*' }])
  const same = { headers: { 'idempotency-key': 'laptop' }, json: { name: 'laptop' } }
  const first = await owner.ask('POST /api/users/owner/api-keys', same)
  expect(first.status).toBe(201)
  expect((await owner.ask('POST /api/users/owner/api-keys', same)).body).toEqual(first.body)
  const stolen = await bot.ask('POST /api/users/owner/api-keys', same)
  expect(stolen.status).toBe(403)
  expect(stolen.text).not.toContain(String(first.body['key']))
})

test('a kept answer is not given once the right is revoked, and the refusal is on record', async () => {
  const person = await lab.person('clerk')
  const { body } = await lab.grant('clerk', ['VmAdmin', '/api/things'])
  const same = { headers: { 'idempotency-key': 'one' }, json: { name: 'one', size: 2 } }
  expect((await person.ask('POST /api/things', same)).status).toBe(201)
  expect((await person.ask('POST /api/things', same)).headers['idempotency-replayed']).toBe('true')
  await lab.root.ask(`DELETE /api/permissions/${String(body['id'])}`)
  const late = await person.ask('POST /api/things', same)
  expect(late).toMatchObject({ status: 403, body: { details: { privilege: 'VmAllocate', path: '/api/things' } } })
  expect(await lab.onRecord('kind=permission_denied&user=clerk')).toMatchObject([
    { action: 'things.create', path: '/api/things', result: 'denied' },
  ])
})

test('whose sign-in was kept is no oracle for passwords from elsewhere', async () => {
  await lab.person('victim')
  const signIn = (password: string, from: string) =>
    lab.anybody.ask('POST /api/auth/login', {
      headers: { 'idempotency-key': 'login', 'x-forwarded-for': from },
      json: { username: 'victim', password },
    })
  const { body } = await signIn(lab.password, '192.0.2.1')
  expect((await signIn(lab.password, '192.0.2.1')).body).toEqual(body)
  expect((await signIn('Guessed-at-1', '192.0.2.66')).status).toBe(401)
  expect((await lab.onRecord('kind=login_failed&user=victim')).map(({ address }) => address)).toEqual(['192.0.2.66'])
})

test('two users with the same rights who are refused at once are each named in the answer and in the audit', async () => {
  const people = [await lab.person('first'), await lab.person('second')]
  const asked = Array.from({ length: 20 }, (_, i) => people[i % 2]!.ask('GET /api/things/secret'))
  const answers = await Promise.all(asked)
  answers.forEach(({ status, body }, i) => {
    expect(status).toBe(403)
    expect(body['details']).toMatchObject({ user: i % 2 ? 'second' : 'first' })
  })
  for (const user of ['first', 'second'])
    expect(await lab.onRecord(`kind=permission_denied&user=${user}`)).toHaveLength(10)
})

test('a proof that does not hold, and a page of another site, are on record', async () => {
  const json = { name: 'x', size: 2 }
  const recordOf = async (headers: Record<string, string>) => {
    const answer = await lab.anybody.ask('POST /api/things', { headers, json })
    return [answer.status, await lab.onRecord(`request_id=${answer.headers['x-request-id']}`)] as const
  }
  const [status, forged] = await recordOf({ authorization: 'Bearer a.b.c' })
  expect(status).toBe(401)
  expect(forged).toMatchObject([{ kind: 'permission_denied', user: 'anonymous', severity: 'warning' }])
  const question = await lab.anybody.ask('GET /api/things', { headers: { 'x-api-key': 'hx_none_none' } })
  expect(question.status).toBe(401)
  expect(await lab.onRecord(`request_id=${question.headers['x-request-id']}`)).toMatchObject([
    { kind: 'permission_denied', user: 'anonymous', action: 'things.list', result: 'denied' },
  ])

  const credentials = { username: 'owner', password: lab.password }
  const { headers } = await lab.anybody.ask('POST /api/auth/login', { json: credentials })
  const cookie = headers['set-cookie']!.split(';')[0]!
  const [denied, foreign] = await recordOf({ cookie, origin: 'https://elsewhere.example' })
  expect(denied).toBe(403)
  expect(foreign).toMatchObject([
    { kind: 'suspicious_activity', user: 'owner', action: 'things.create', result: 'denied' },
  ])

  const upgrade = { connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' }
  const key = { 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' }
  const socket = { ...upgrade, ...key, cookie, origin: 'https://elsewhere.example' }
  expect((await lab.anybody.ask('GET /api/ws', { headers: socket })).status).toBe(403)
  expect(await lab.onRecord('kind=suspicious_activity&resource=/api/ws')).toHaveLength(1)
})

test('a user who is disabled while a list is being sent gets no more of it', async () => {
  const reader = await lab.person('reader', ['Auditor', '/'])
  const caller = { kind: 'service', name: 'test' } as const
  const one = (i: number) => ({ caller, kind: 'config_changed', path: `/api/things/${i}`, action: 'test' }) as const
  const many = 30_000
  await Promise.all(
    Array.from({ length: many }, (_, i) => recordAudit({ ...one(i), result: 'success', request_id: 'r' })),
  )
  const headers = { ...reader.headers, accept: 'application/x-ndjson' }
  const { promise, resolve, reject } = Promise.withResolvers<{ lines: number; isWhole: boolean }>()
  const client = request(new URL('/api/audit/events', lab.url), { headers }, (answer) => {
    let text = ''
    const read = async () => {
      const begun = answer[Symbol.asyncIterator]()
      text += String((await begun.next()).value)
      expect((await lab.root.ask('PATCH /api/users/reader', { json: { enabled: false } })).status).toBe(200)
      for (;;) {
        const { value, done } = await begun.next()
        if (done) return true
        text += String(value)
      }
    }
    read().then(
      (isWhole) => resolve({ lines: text.split('\n').length, isWhole }),
      () => resolve({ lines: text.split('\n').length, isWhole: false }),
    )
  })
  client.on('error', reject).end()
  const { lines, isWhole } = await promise
  expect(isWhole).toBe(false)
  expect(lines).toBeLessThan(many)
})
