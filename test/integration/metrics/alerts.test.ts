import { createHmac } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { alerts } from '#shared/contracts/metrics/alerts.ts'
import type { Alert, Rule } from '#shared/contracts/metrics/alert-parts.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { freePort } from '#shared/platform/data-folder.ts'
import { activeKey, type Book } from '../../../services/metrics/alerts/book.ts'
import { evaluate } from '../../../services/metrics/alerts/evaluate.ts'
import { alertRecords, outletRecords, ruleRecords, silenceRecords } from '../../../services/metrics/alerts/models.ts'
import { alertService } from '../../../services/metrics/alerts/service.ts'
import { createPump, sendBy } from '../../../services/metrics/outlets/pump.ts'
import { startWebhookReceiver, type WebhookReceiver } from '../../lab/clients/webhook-receiver.ts'
import { startHorcrux, type TestHorcrux } from '../../lab/product/horcrux.ts'
import { until } from '../../lab/wait.ts'

let horcrux: TestHorcrux
let receiver: WebhookReceiver
/** The value of each subject that the rules judge. */
const values = new Map<string, number | null>()
const second = 1000
/** An hour ago: messages are given up a day after they were made, and not sent before their time. */
let now = Date.now() - 3600 * second

beforeAll(async () => {
  horcrux = await startHorcrux({ services: [{ name: 'metrics', serves: [alertService] }] })
})
afterAll(() => horcrux?.stop())
beforeEach(async () => {
  receiver = await startWebhookReceiver()
  for (const records of [alertRecords, outletRecords, ruleRecords, silenceRecords]) await records.removeWhere({})
  values.clear()
  return () => receiver.stop()
})

const ruleGiven = {
  name: 'hot',
  condition: { kind: 'threshold', of: 'nodes', metric: 'cpu_percent', above: 90 },
  for: 20,
}
const makeRule = (given: object = {}) => horcrux.call(alerts, 'createRule', { ...ruleGiven, ...given })
const makeWebhook = (name: string, url = receiver.url) =>
  horcrux.call(alerts, 'createOutlet', { id: name, name, config: { kind: 'webhook', url } })

/** The book as a replica reads it that has just begun: nothing of before is in memory. */
async function freshBook(): Promise<Book> {
  const active = await alertRecords.all({ active: { $gt: '' } })
  return {
    rules: await ruleRecords.all(),
    silences: await silenceRecords.all(),
    outlets: await outletRecords.all(),
    active: new Map(active.map((alert) => [alert.active!, alert])),
  }
}

/** One turn, ten seconds later. */
async function turn(book: Book): Promise<boolean> {
  now += 10 * second
  return evaluate(book, {
    now,
    subjectsOf: () =>
      [...values.keys()].map((name) => ({
        subject: `nodes/${name}` as const,
        resource: `/api/cluster/nodes/${name}`,
        tags: [],
        name,
      })),
    valueOf: async (_: Rule, subject) => values.get(subject.slice('nodes/'.length)) ?? null,
  })
}

async function deliverAll(send = sendBy): Promise<void> {
  const pump = createPump(send)
  await pump.run()
  await pump.idle()
}
const bodies = () =>
  receiver.received.map(({ body }) => JSON.parse(body) as { id: string; event: string; alert: Alert })
const eventsOf = () => bodies().map(({ event }) => event)

test('pending and firing survive a crash at every point, and each message has one id', async () => {
  await makeRule()
  await makeWebhook('hook')
  values.set('n1', 95)
  // A process that ends after each turn: the next one knows only the store.
  for (let count = 0; count < 4; count++) await turn(await freshBook())
  expect((await horcrux.call(alerts, 'active', {})).data).toMatchObject([
    { subject: 'nodes/n1', phase: 'firing', announced: 'triggered' },
  ])
  // It ends after the receiver has the message, and before it is marked as sent.
  await expect(
    createPump(async (outlet, message) => {
      await sendBy(outlet, message)
      throw new Error('killed')
    }).run(),
  ).resolves.toBe(true)
  await until(() => receiver.received.length === 1)
  await deliverAll()
  values.set('n1', 10)
  for (let count = 0; count < 2; count++) await turn(await freshBook())
  await deliverAll()
  await deliverAll()
  expect(eventsOf()).toEqual(['triggered', 'triggered', 'resolved'])
  expect(new Set(bodies().map(({ id }) => id)).size).toBe(2)
  expect((await horcrux.call(alerts, 'active', {})).data).toEqual([])
  expect((await horcrux.call(alerts, 'history', {})).data).toMatchObject([{ phase: 'resolved', announced: 'resolved' }])
})

test('a pending alert that does not hold leaves nothing; two evaluators at once make one alert', async () => {
  const { id } = await makeRule()
  values.set('n1', 95)
  const [one, other] = [await freshBook(), await freshBook()]
  const both = await Promise.allSettled([turn(one), turn(other)])
  expect(both.some(({ status }) => status === 'fulfilled')).toBe(true)
  expect(await alertRecords.all({ active: activeKey(id, 'nodes/n1') })).toHaveLength(1)
  values.set('n1', 5)
  await turn(await freshBook())
  expect(await alertRecords.all()).toEqual([])
})

test('a webhook is signed, tried again after 500 and 429, and given up after 400', async () => {
  await makeRule({ for: 0 })
  const made = await makeWebhook('hook')
  const secret = made.secret!
  expect(secret.length).toBeGreaterThanOrEqual(32)
  expect((await horcrux.call(alerts, 'outlets', {})).data[0]).not.toHaveProperty('secret')
  receiver.answers.push(500, 429)
  values.set('n1', 95)
  await turn(await freshBook())
  const deliveries = async () => (await horcrux.call(alerts, 'deliveries', { id: 'hook' })).data
  await deliverAll()
  expect(await deliveries()).toMatchObject([{ state: 'waiting', attempts: 1, error: 'The receiver answered 500' }])
  // Before its time nothing is tried.
  await deliverAll()
  expect(receiver.received).toHaveLength(1)
  const [delivery] = await deliveries()
  await horcrux.call(alerts, 'replay', { id: 'hook', delivery: delivery!.id })
  await deliverAll()
  expect(await deliveries()).toMatchObject([{ state: 'waiting', error: 'The receiver answered 429' }])
  receiver.answers.push(400)
  await horcrux.call(alerts, 'replay', { id: 'hook', delivery: delivery!.id })
  await deliverAll()
  expect(await deliveries()).toMatchObject([{ state: 'failed', error: 'The receiver answered 400' }])
  await horcrux.call(alerts, 'replay', { id: 'hook', delivery: delivery!.id })
  await deliverAll()
  expect(await deliveries()).toMatchObject([{ state: 'sent', error: null }])
  for (const { headers, body } of receiver.received) {
    const signed = createHmac('sha256', secret).update(`${headers['x-horcrux-timestamp']}.${body}`).digest('hex')
    expect(headers['x-horcrux-signature']).toBe(`sha256=${signed}`)
    expect(headers['x-horcrux-delivery']).toBe(delivery!.id)
  }
})

test('an outlet that hangs holds up no other, and the end of an alert tells its beginning too', async () => {
  await makeRule({ for: 0 })
  const dead = await startWebhookReceiver()
  await makeWebhook('dead', dead.url)
  await makeWebhook('hook')
  dead.answers.push('hang', 503)
  values.set('n1', 95)
  await turn(await freshBook())
  const pump = createPump()
  await pump.run()
  await until(() => receiver.received.length === 1, { what: 'the other outlet' })
  expect(dead.received.length).toBeLessThanOrEqual(1)
  values.set('n1', 5)
  const deliveries = async () => (await horcrux.call(alerts, 'deliveries', { id: 'dead' })).data
  // While a delivery is being marked, a turn does not write its alert, and the next one does.
  await until(async () => {
    await turn(await freshBook())
    return (await deliveries()).length === 2
  })
  await pump.idle()
  const stored = await deliveries()
  expect(stored.map(({ event, state }) => [event, state])).toEqual(
    expect.arrayContaining([
      ['triggered', 'waiting'],
      ['resolved', 'waiting'],
    ]),
  )
  const resolved = stored.find(({ event }) => event === 'resolved')!
  dead.answers.length = 0
  await horcrux.call(alerts, 'replay', { id: 'dead', delivery: resolved.id })
  await deliverAll()
  const after = (await horcrux.call(alerts, 'deliveries', { id: 'dead' })).data
  expect(Object.fromEntries(after.map(({ event, state }) => [event, state]))).toEqual({
    triggered: 'merged',
    resolved: 'sent',
  })
  await dead.stop()
})

test('nothing is sent while an alert is silenced; at the end of the silence one message tells that it still fires', async () => {
  const { id: rule } = await makeRule({ for: 0 })
  await makeWebhook('hook')
  const { id } = await horcrux.call(alerts, 'silence', {
    rule,
    starts_at: new Date(now).toISOString(),
    ends_at: new Date(now + 45 * second).toISOString(),
  })
  values.set('n1', 95)
  for (let count = 0; count < 4; count++) await turn(await freshBook())
  await deliverAll()
  expect(receiver.received).toEqual([])
  expect((await horcrux.call(alerts, 'active', {})).data).toMatchObject([{ silenced_by: [id], announced: 'nothing' }])
  await turn(await freshBook())
  await deliverAll()
  expect(eventsOf()).toEqual(['triggered'])
})

test('an alert whose rule is deleted is resolved, and an acknowledged one says by whom', async () => {
  const { id } = await makeRule({ for: 0 })
  values.set('n1', 95)
  const book = await freshBook()
  await turn(book)
  const [alert] = (await horcrux.call(alerts, 'active', {})).data
  const acknowledged = await horcrux.call(alerts, 'acknowledge', { id: alert!.id, comment: 'looking' })
  expect(acknowledged.acknowledged).toMatchObject({ comment: 'looking' })
  // This book has the alert as it was before: its write does not take the acknowledgement back.
  values.set('n1', 96)
  await turn(book)
  expect((await horcrux.call(alerts, 'active', {})).data[0]!.acknowledged).not.toBeNull()
  await horcrux.call(alerts, 'deleteRule', { id })
  await turn(await freshBook())
  expect((await horcrux.call(alerts, 'history', {})).data).toHaveLength(1)
})

test('a mail goes to a mail server, and a server that is away is tried again', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'horcrux-mail-'))
  const [port, file] = [await freePort(0), join(dir, 'mails')]
  await makeRule({ for: 0 })
  const config = {
    kind: 'smtp',
    host: '127.0.0.1',
    port,
    tls: 'off',
    from: 'horcrux@example.org',
    to: ['ann@example.org'],
  }
  await horcrux.call(alerts, 'createOutlet', { id: 'mail', name: 'mail', config })
  values.set('n1', 95)
  await turn(await freshBook())
  await deliverAll()
  const [waiting] = (await horcrux.call(alerts, 'deliveries', { id: 'mail' })).data
  expect(waiting).toMatchObject({ state: 'waiting', error: expect.stringMatching(/mail server did not take it/) })
  await writeFile(file, '')
  const script = `
import asyncore, smtpd
class Server(smtpd.SMTPServer):
    def process_message(self, peer, mailfrom, rcpttos, data, **kwargs):
        open(${JSON.stringify(file)}, 'ab').write(data + b'\\n')
Server(('127.0.0.1', ${port}), None)
asyncore.loop()
`
  const server = await localHost().spawn('python3', ['-W', 'ignore', '-c', script])
  try {
    await until(
      async () => {
        await horcrux.call(alerts, 'replay', { id: 'mail', delivery: waiting!.id })
        await deliverAll()
        return (await readFile(file, 'utf8')).length > 0
      },
      { what: 'the mail', intervalMs: 200 },
    )
    const mail = await readFile(file, 'utf8')
    expect(mail).toContain('Subject: [Horcrux] WARNING: hot on nodes/n1')
    expect(mail).toContain(`Message-ID: <${waiting!.id}@horcrux>`)
    expect(mail).toContain('cpu_percent of nodes/n1 is 95')
  } finally {
    await server.kill()
    await rm(dir, { recursive: true, force: true })
  }
})

test('wrong rules and outlets are refused field by field, and a built-in rule is not deleted', async () => {
  const wrong = { kind: 'threshold', of: 'vms', metric: 'no_such', above: 1, below: 2, clear: 3 }
  await expect(makeRule({ condition: wrong })).rejects.toMatchObject({
    status: 422,
    violations: [{ field: 'condition.metric' }, { field: 'condition' }, { field: 'condition.clear' }],
  })
  await expect(makeWebhook('x', 'http://user:secret@host/')).rejects.toMatchObject({ status: 422 })
  await ruleRecords.insert({ ...(await makeRule({ name: 'other' })), id: 'builtin-x', name: 'builtin', built_in: true })
  await expect(horcrux.call(alerts, 'deleteRule', { id: 'builtin-x' })).rejects.toMatchObject({ status: 409 })
})
