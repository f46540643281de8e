import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { connect as openSocket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInbox, NatsError, nkeyAuthenticator, nkeys } from 'nats'
import { connect } from 'nats'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { identityNames, keyFile, keysFolder } from '#shared/bus/identity/keys.ts'
import { memberNames, memberOf, queuedBy, wholeName } from '#shared/bus/identity/service-permissions.ts'
import { operationSubjects } from '#shared/bus/identity/subjects.ts'
import { makeDataFolder } from '#shared/platform/data-folder.ts'
import { startEmbeddedBus } from '#shared/platform/embedded-bus.ts'
import { type Intruder, intrude } from '../../lab/bus/intruder.ts'
import { missingForNats } from '../../lab/bus/nats.ts'
import { processesWith } from '../../lab/hosts/processes.ts'
import { available } from '../../lab/requirements.ts'

const hasNats = available('nats', await missingForNats())
const host = localHost()
const events = 'horcrux-events'
const work = 'horcrux-work'
const pairs = memberNames.flatMap((name) =>
  memberNames.filter((other) => other !== name).map((other) => [name, other] as const),
)
/** Hints about one operation, as each process that works on operations sends and receives them. */
const hints = Object.values(operationSubjects).map((subjectOf) => subjectOf('019f-7'))
const queues = (name: string) => queuedBy(memberOf(name)).map((service) => `horcrux.work.${service}`)

describe.skipIf(!hasNats)('identities on the bus', () => {
  let dir: string
  let bus: Awaited<ReturnType<typeof startEmbeddedBus>>
  let whole: Intruder
  const intruders = new Map<string, Intruder>()
  const as = (name: string) => intruders.get(name)!

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'horcrux-rights-'))
    await makeDataFolder(host, dir)
    bus = await startEmbeddedBus(host, dir)
    whole = await intrude(bus.url, keysFolder(dir), wholeName)
    const { streams, consumers } = await whole.nats.jetstreamManager()
    await streams.add({ name: events, subjects: ['horcrux.events.>'] })
    await streams.add({ name: work, subjects: ['horcrux.work.>'] })
    await consumers.add(work, { durable_name: 'work-vms', filter_subject: 'horcrux.work.vms' })
    for (const name of memberNames) intruders.set(name, await intrude(bus.url, keysFolder(dir), name))
  })
  afterAll(async () => {
    for (const { close } of [...intruders.values(), whole]) await close?.()
    await bus?.stop()
    await rm(dir, { recursive: true, force: true })
  })

  test('the bus refuses a connection without credentials, and one with unknown credentials', async () => {
    await expect(connect({ servers: bus.url })).rejects.toThrow('Authorization Violation')
    await expect(connect({ servers: bus.url, user: 'horcrux', pass: 'horcrux' })).rejects.toThrow(NatsError)
    // The library does not say the type of its keys.
    const stranger = (nkeys as { createUser: () => { getSeed: () => Uint8Array } }).createUser()
    await expect(connect({ servers: bus.url, authenticator: nkeyAuthenticator(stranger.getSeed()) })).rejects.toThrow(
      'Authorization Violation',
    )
  })

  test.each(['PUB horcrux.cancel 0\r\n\r\n', 'SUB > 1\r\n'])(
    'who says %j without saying who they are is cut off',
    async (said) => {
      const { hostname, port } = new URL(bus.url)
      const socket = openSocket(Number(port), hostname)
      let answer = ''
      socket.on('data', (data: Buffer) => (answer += data.toString()))
      socket.write(`${said}PING\r\n`)
      await new Promise((resolve) => socket.once('close', resolve))
      expect(answer).toContain("-ERR 'Authorization Violation'")
      expect(answer).not.toContain('PONG')
    },
  )

  test.each(memberNames)('%s may do all that its own work needs', async (name) => {
    const refused = await as(name).refused({
      hear: [
        `MOL.REQ.*.${name}.a-1.>`,
        `MOL.RES.*.${name}.a-1`,
        `_INBOX.${name}.x.*`,
        `horcrux.alive.${name}.a-1`,
        ...hints,
      ],
      send: [...hints, `MOL.INFO.${name}`, `MOL.HEARTBEAT.${name}`, `MOL.RES.${name}.vm.a-1`, ...queues(name)],
    })
    expect(refused).toEqual([])
  })

  test.each(pairs)('%s neither receives messages for %s nor sends in its name', async (name, other) => {
    const hear = [
      `MOL.REQ.*.${other}.>`,
      `MOL.REQ.*.${other}.a-1.>`,
      `MOL.REQ.gateway.${other}.a-1.auth.login`,
      `MOL.RES.*.${other}.>`,
      `MOL.RES.*.${other}.a-1`,
      `_INBOX.${other}.>`,
      `_INBOX.${other}.x.*`,
      `horcrux.alive.${other}.a-1`,
      ...queues(other),
    ]
    const send = [
      ...['INFO', 'HEARTBEAT', 'DISCONNECT', 'DISCOVER'].map((type) => `MOL.${type}.${other}`),
      `MOL.RES.${other}.gateway.a-1`,
      `MOL.REQ.${other}.auth.a-1.auth.rights`,
      createInbox(`_INBOX.${other}`),
      ...queues(other),
    ]
    const refused = await as(name).refused({ hear, send })
    expect(refused.toSorted()).toEqual([...new Set([...hear, ...send])].toSorted())
  })

  test.each(memberNames)(
    '%s may not subscribe to everything, nor by a wildcard to more than its own subjects',
    async (name) => {
      const hear = [
        '>',
        '*.>',
        'MOL.>',
        'MOL.*.>',
        'MOL.REQ.>',
        'MOL.REQ.*.*.>',
        'MOL.RES.>',
        'MOL.RES.*.*.*',
        '_INBOX.>',
      ]
      const more = [
        '_INBOX.*.>',
        'horcrux.>',
        'horcrux.events.>',
        'horcrux.work.>',
        'horcrux.alive.>',
        '$JS.>',
        '$JS.API.>',
        '$SYS.>',
      ]
      const refused = await as(name).refused({ hear: [...hear, ...more] })
      expect(refused.toSorted()).toEqual([...hear, ...more].toSorted())
    },
  )

  test.each([
    [
      'gateway',
      [
        'MOL.REQ.gateway.cluster.a-1.nodes.reachAll',
        'MOL.REQ.gateway.storage.a-1.volumes-internal.deleteFor',
        'horcrux.work.vms',
        'horcrux.auth.changed',
      ],
    ],
    [
      'vm',
      [
        'MOL.REQ.vm.auth.a-1.users.create',
        'MOL.REQ.vm.auth.a-1.auth.identify',
        'MOL.REQ.vm.storage.a-1.pools.delete',
        'horcrux.auth.changed',
      ],
    ],
    ['storage', ['MOL.REQ.storage.vm.a-1.vms.pause', 'horcrux.events.vm.status']],
    [
      'cluster',
      ['MOL.REQ.cluster.auth.a-1.permissions.create', 'MOL.REQ.cluster.storage.a-1.volumes-internal.deleteFor'],
    ],
    ['audit', ['MOL.REQ.audit.cluster.a-1.nodes.reachAll', 'MOL.REQ.audit.auth.a-1.users.list']],
    ['auth', ['MOL.REQ.auth.cluster.a-1.nodes.reachAll', 'MOL.REQ.auth.vm.a-1.vms.delete']],
  ])('%s calls nothing that it has no need to', async (name, send) => {
    expect(await as(name).refused({ send })).toEqual(send)
  })

  test.each(memberNames)('%s leaves the streams as they are, and consumers that are not its own', async (name) => {
    const calls = ['DELETE', 'PURGE', 'MSG.DELETE', 'SNAPSHOT'].flatMap((what) =>
      [events, work].map((stream) => `$JS.API.STREAM.${what}.${stream}`),
    )
    const { keepsStreams = false } = memberOf(name)
    const change = ['CREATE', 'UPDATE'].flatMap((what) => [
      `$JS.API.STREAM.${what}.${events}`,
      `$JS.API.STREAM.${what}.${work}`,
    ])
    const always = [
      ...calls,
      '$JS.API.STREAM.CREATE.mine',
      '$JS.API.STREAM.RESTORE.mine',
      `$JS.API.STREAM.MSG.GET.${work}`,
      `$JS.API.CONSUMER.DELETE.${work}.work-vms`,
      `$JS.API.CONSUMER.CREATE.${work}`,
      `$JS.API.CONSUMER.CREATE.${work}.mine`,
      `$JS.API.CONSUMER.DURABLE.CREATE.${work}.mine`,
      ...(name === 'vm' ? [] : [`$JS.API.CONSUMER.MSG.NEXT.${work}.work-vms`, `$JS.ACK.${work}.work-vms.1.1.1.1.1`]),
      ...(name === 'gateway' ? [] : [`$JS.API.CONSUMER.CREATE.${events}`, `$JS.API.STREAM.MSG.GET.${events}`]),
      ...(keepsStreams ? [] : change),
    ]
    expect((await as(name).refused({ send: always })).toSorted()).toEqual(always.toSorted())
    const { streams } = await whole.nats.jetstreamManager()
    expect((await streams.info(work)).config.subjects).toEqual(['horcrux.work.>'])
    expect((await streams.info(events)).config.subjects).toEqual(['horcrux.events.>'])
  })

  test('only the service that received a request may answer it, and only once', async () => {
    const asked = as('vm').nats.subscribe('horcrux.alive.vm.a-1', { max: 1 })
    // The two connections are read by the server in any order.
    await as('vm').nats.flush()
    const request = as('gateway').nats.request('horcrux.alive.vm.a-1', '', { timeout: 60_000 })
    for await (const message of asked) {
      expect(await as('storage').refused({ send: [message.reply!] })).toEqual([message.reply])
      expect(await as('vm').refused({ send: [message.reply!] })).toEqual([])
      expect(await as('vm').refused({ send: [message.reply!] })).toEqual([message.reply])
    }
    await request
  })

  test('each secret is a file of its own that others cannot read, and neither the server nor its arguments have one', async () => {
    const conf = await readFile(join(dir, 'run', 'nats.conf'), 'utf8')
    expect((await stat(keysFolder(dir))).mode & 0o777).toBe(0o700)
    const seeds = new Set<string>()
    for (const name of identityNames) {
      expect((await stat(keyFile(keysFolder(dir), name))).mode & 0o777).toBe(0o600)
      const seed = (await readFile(keyFile(keysFolder(dir), name), 'utf8')).trim()
      seeds.add(seed)
      expect(conf).not.toContain(seed)
      expect(processesWith(seed)).toEqual([])
    }
    expect(seeds.size).toBe(identityNames.length)
  })
})
