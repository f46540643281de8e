import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { ServiceBroker } from 'moleculer'
import { MongoClient } from 'mongodb'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Caller } from '#shared/access/access.ts'
import { event, now } from '#shared/events/event.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { identityNames, keyFile } from '#shared/bus/identity/keys.ts'
import { type Deployment, keysIn, startDeployment } from '../../lab/product/deployment.ts'
import { ask } from '../../lab/clients/http.ts'
import { type Intruder, intrude } from '../../lab/bus/intruder.ts'
import { missingForNats } from '../../lab/bus/nats.ts'
import { withPool } from '../../lab/load/outage.ts'
import { processesWith } from '../../lab/hosts/processes.ts'
import { repository } from '../../lab/repository.ts'
import { available } from '../../lab/requirements.ts'
import { until } from '../../lab/wait.ts'

const hasNats = available('nats', await missingForNats())
const evil = 'evil-1'
const admin: Caller = {
  kind: 'user',
  user: 'admin',
  rights: 'none',
  address: '127.0.0.1',
  credential: { by: 'token', id: 'none' },
}

type Answer = { success: boolean; error?: { message: string }; data: unknown }

describe.skipIf(!hasNats)('services with an identity each', () => {
  let horcrux: Deployment
  let vm: Intruder
  let gateway: Intruder
  const linesWith = (text: string) =>
    [...horcrux.services, ...horcrux.gateways].flatMap(({ said }) => said().filter((line) => line.includes(text)))

  beforeAll(async () => {
    horcrux = await withPool(await startDeployment())
    const server = horcrux.env['NATS_URL']!
    vm = await intrude(server, keysIn(horcrux.dir), 'vm')
    gateway = await intrude(server, keysIn(horcrux.dir), 'gateway')
  })
  afterAll(async () => {
    await vm?.close()
    await gateway?.close()
    await horcrux?.stop()
  })

  const send = ({ nats }: Intruder, subject: string, payload: object) =>
    nats.publish(subject, JSON.stringify({ ver: ServiceBroker.PROTOCOL_VERSION, ...payload }))

  /** The node id of the process that serves something: what NATS tells everybody in the announcements. */
  async function processOf(name: string): Promise<string> {
    const heard = vm.nats.subscribe('MOL.HEARTBEAT.*')
    for await (const message of heard) {
      const { sender } = message.json<{ sender: string }>()
      if (sender.startsWith(`${name}.`)) return sender
    }
    throw new Error('the bus is closed')
  }

  /** Calls an action as the identity of the intruder, with a caller of its choice. */
  async function call(as: Intruder, name: string, to: string, action: string, caller: Caller): Promise<Answer> {
    const id = randomUUID()
    const sender = `${name}.${evil}`
    const answers = as.nats.subscribe(`MOL.RES.*.${name}.${evil}`, { timeout: 5000 })
    const meta = { caller, requestId: 'intruder' }
    const request = { sender, id, action, params: { id: 'local' }, meta, level: 1, tracing: null, stream: false }
    send(as, `MOL.REQ.${name}.${await processOf(to)}.${action}`, request)
    for await (const message of answers) {
      const answer = message.json<Answer & { id: string }>()
      if (answer.id === id) return answer
    }
    throw new Error('the bus is closed')
  }

  test('work together, and NATS refuses them nothing that they need', async () => {
    const { token, gateways } = horcrux
    const made = await ask(gateways[0]!.url, 'POST /api/storage/pools/main/volumes', {
      token,
      json: { name: 'identified', size: 2 ** 30 },
    })
    expect(made.status).toBe(202)
    const isThere = async () =>
      (await ask(gateways[0]!.url, 'GET /api/storage/pools/main/volumes/identified', { token })).status === 200
    await until(isThere, { what: 'the volume' })
    for (const line of [
      'GET /api/vms',
      'GET /api/cluster/nodes',
      'GET /api/operations',
      'GET /api/audit/events',
      'GET /api/users',
    ])
      expect((await ask(gateways[0]!.url, line, { token })).status, line).toBe(200)
    expect(linesWith('NATS refuses')).toEqual([])
  })

  test('call each other under their own identity, and under no other', async () => {
    const reach = (as: Intruder, name: string, caller: Caller) => call(as, name, 'cluster', 'nodes.reach', caller)
    expect(await reach(vm, 'vm', { kind: 'service', name: 'vms' })).toMatchObject({ success: true })
    for (const caller of [admin, { kind: 'service', name: 'storage' } as const]) {
      const { success, error } = await reach(vm, 'vm', caller)
      expect(success).toBe(false)
      expect(error?.message).toMatch(/The service 'vm' may not call nodes\.reach as '(admin|service:storage)'/)
    }
    const asService = await call(gateway, 'gateway', 'vm', 'vms.list', { kind: 'service', name: 'gateway' })
    expect(asService.error?.message).toMatch(/The service 'gateway' may not call vms\.list/)
  })

  test('receive no requests for other services, also when they announce those services', async () => {
    const stolen: unknown[] = []
    vm.nats.subscribe(`MOL.REQ.*.vm.${evil}.>`, { callback: (_, message) => stolen.push(message.string()) })
    const actions = Object.fromEntries(['auth.login', 'auth.identify'].map((name) => [name, { name, rawName: name }]))
    send(vm, 'MOL.INFO.vm', {
      sender: `vm.${evil}`,
      instanceID: randomUUID(),
      services: [{ name: 'auth', fullName: 'auth', settings: {}, metadata: {}, actions, events: {} }],
      config: {},
      client: {},
      metadata: {},
      seq: 1,
    })
    await vm.nats.flush()
    const json = { username: 'admin', password: 'wrong' }
    // Whether they go in turn or at random, this many would have come along here.
    for (let again = 0; again < 4; again++)
      expect((await ask(horcrux.gateways[0]!.url, 'POST /api/auth/login', { json })).status).toBe(401)
    for (let again = 0; again < 20; again++)
      expect((await ask(horcrux.gateways[0]!.url, 'GET /api/vms', { token: `none-${again}` })).status).toBe(401)
    expect(stolen).toEqual([])
  })

  test('are not sent away by a packet in their name', async () => {
    const auth = await processOf('auth')
    send(vm, 'MOL.DISCONNECT.vm', { sender: auth })
    await vm.nats.flush()
    await until(() => linesWith('whose sender is not the one of its subject').some((line) => line.includes(auth)))
    const { status } = await ask(horcrux.gateways[0]!.url, 'GET /api/users', { token: horcrux.token })
    expect(status).toBe(200)
  })

  test('without its secret a service does not start, and says why', async () => {
    const env = { ...horcrux.env, NATS_URL: horcrux.env['NATS_URL']! }
    const { code, stderr } = await localHost().run(process.execPath, [join(repository, 'services/vm/main.ts')], {
      env,
      timeoutMs: 120_000,
    })
    expect(code).toBe(1)
    expect(stderr).toContain("NATS does not take this process for 'vm': see NATS_URL and NATS_NKEY_FILE")
  })

  test('answer no request that is old, as after a stop of their process: NATS would refuse it', async () => {
    const storage = horcrux.services.find(({ name }) => name.startsWith('storage-'))!
    const { token, gateways } = horcrux
    const asked = () => ask(gateways[0]!.url, 'GET /api/storage/pools/main', { token })
    storage.signal('SIGSTOP')
    // The gateway requests a sign of life every fraction of a second meanwhile, and NATS takes an answer for 5 s.
    const silent = asked()
    await delay(6500)
    storage.signal('SIGCONT')
    await silent
    await until(async () => (await asked()).status === 200, { what: 'the storage service to answer again' })
    expect(linesWith('NATS refuses')).toEqual([])
  })

  test('publish what other services have left in the outboxes, but for events that only those may publish', async () => {
    const store = await MongoClient.connect(horcrux.env['MONGODB_URL']!)
    try {
      const operations = store.db().collection<{ _id: string; outbox: object[] }>('operations')
      const entry = (id: string, service: string, outbox: object) =>
        ({ _id: id, service, state: 'succeeded', ended_at: '2999-01-01T00:00:00.000Z', outbox: [outbox] }) as never
      const left = async (id: string) => (await operations.findOne({ _id: id }))!.outbox.length
      const deletion = { ...event('VmDeleted', { vm_id: 'gone', name: 'gone', timestamp: now() }), for: {} }
      // Any event of this topic does; nobody reads its data here.
      const update = { id: randomUUID(), type: 'OperationUpdated', time: now(), topic: 'operations', data: {} }
      await operations.insertMany([entry('of vm', 'vms', deletion), entry('of storage', 'volumes', update)])
      const part = horcrux.services.find(({ name }) => name.startsWith('vm-'))!
      await part.kill()
      await until(async () => (await left('of storage')) === 0, { what: 'the sweep of another service' })
      expect(await left('of vm')).toBe(1)
      await part.start()
      await until(async () => (await left('of vm')) === 0, { what: 'the sweep of the vm service' })
      await operations.deleteMany({ _id: { $in: ['of vm', 'of storage'] } })
    } finally {
      await store.close()
    }
    expect(linesWith('NATS refuses')).toEqual([])
  })

  test('show their secrets neither in their output nor in the arguments of a process', async () => {
    for (const name of identityNames) {
      const seed = (await readFile(keyFile(keysIn(horcrux.dir), name), 'utf8')).trim()
      expect(linesWith(seed)).toEqual([])
      expect(processesWith(seed)).toEqual([])
    }
  })
})
