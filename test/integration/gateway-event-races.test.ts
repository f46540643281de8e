import { get, type IncomingMessage } from 'node:http'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { bus, streams } from '#shared/bus.ts'
import { event } from '#shared/events/event.ts'
import { publish } from '#shared/events/outbox.ts'
import { eventsAfter } from '#shared/events/stream.ts'
import { createGateway } from '../../services/gateway/service.ts'
import {
  identified,
  late,
  people,
  peopleService,
  type Person,
  resetPeople,
  tellAuthChanged,
  things,
  thingsService,
} from '../lab/gateway-things.ts'
import { startHorcrux, type TestHorcrux } from '../lab/horcrux.ts'
import { missingForNats } from '../lab/nats.ts'
import { available } from '../lab/requirements.ts'
import { readServerSentEvents } from '../lab/server-sent-events.ts'
import { openSocket } from '../lab/sockets.ts'
import { until } from '../lab/wait.ts'

const hasNats = available('nats', await missingForNats())
const gateway = createGateway([things])
let horcrux: TestHorcrux

const timestamp = new Date().toISOString()
const created = (vm_id: string) => publish(event('VmCreated', { vm_id, name: vm_id, timestamp }))
const asAnn = { authorization: 'Bearer ann-token' }
const asBob = { authorization: 'Bearer bob-token' }
const ids = (socket: Awaited<ReturnType<typeof openSocket>>) => socket.events().map(({ data }) => data['vm_id'])
const open = async (headers: Record<string, string>) => {
  const socket = await openSocket(gateway.url(), { headers, first: { topics: ['vm:events'] } })
  await socket.next('Subscribed')
  return socket
}

/** Where a reader is that begins now. */
const gatewayPlace = async () => {
  const socket = await open(asAnn)
  socket.socket.close()
  return (await socket.next('Subscribed')).seq
}

describe.skipIf(!hasNats)('events when several things happen at once', () => {
  beforeAll(async () => {
    horcrux = await startHorcrux({
      services: [peopleService, thingsService, gateway],
      config: { port: 0, rateLimit: 0, trustedProxies: [] },
    })
  })
  afterAll(() => horcrux?.stop())
  beforeEach(async () => {
    resetPeople()
    people.set('bob-token', { user: 'bob', rights: [{ path: '/api/vms/b1', privileges: ['VmAudit'] }] })
    await tellAuthChanged()
  })

  const onlyB2: Person = { user: 'bob', rights: [{ path: '/api/vms/b2', privileges: ['VmAudit'] }] }

  test('an answer that is late does not give back what was taken away since', async () => {
    const bob = await open(asBob)
    const held = Promise.withResolvers<void>()
    late.recheck = held.promise
    const asked = identified.count
    await tellAuthChanged('bob')
    await until(() => identified.count > asked)
    // The answer that is on its way still says b1.
    people.set('bob-token', onlyB2)
    late.recheck = Promise.resolve()
    await tellAuthChanged('bob')
    await until(async () => {
      await created('b2')
      return ids(bob).includes('b2')
    })
    held.resolve()
    await created('b1')
    await created('b2')
    const seen = ids(bob).length
    await until(() => ids(bob).length > seen)
    expect(new Set(ids(bob))).toEqual(new Set(['b2']))
    bob.socket.close()
  })

  test('a right that is taken away while a connection opens is not given to it', async () => {
    people.set('bob-token', { user: 'bob', rights: [{ path: '/api/vms/b1', privileges: ['VmAudit', 'VmConfig'] }] })
    const held = Promise.withResolvers<void>()
    late.rights = held.promise
    const asked = identified.count
    const opening = open(asBob)
    await until(() => identified.count > asked)
    people.set('bob-token', onlyB2)
    await tellAuthChanged('bob')
    held.resolve()
    late.rights = Promise.resolve()
    const bob = await opening
    await created('b1')
    await created('b2')
    await until(() => ids(bob).length > 0)
    expect(ids(bob)).toEqual(['b2'])
    bob.socket.close()
  })

  test('who does not read Server-Sent Events is told too, and goes on where it was', { timeout: 120_000 }, async () => {
    const place = await gatewayPlace()
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      get(`${gateway.url()}/api/events?topics=vm:events`, { headers: asAnn }, resolve).on('error', reject)
    })
    const long = 'x'.repeat(50_000)
    for (let number = 0; number < 400; number++) {
      const big = event('VmCreated', { vm_id: `sse-${number}`, name: long, timestamp })
      bus().nats.publish('horcrux.events.vm.events', JSON.stringify(big))
    }
    // The stream has taken them all, and the gateway has been given them.
    const quick = await open(asAnn)
    await created('after')
    await until(() => ids(quick).includes('after'), { timeoutMs: 60_000 })
    quick.socket.close()
    let text = ''
    for await (const part of answer.setEncoding('utf8')) text += String(part)
    expect(text).toContain('"type":"Error"')
    const idsIn = (all: string) => [...all.matchAll(/"vm_id":"(sse-\d+)"/g)].map(([, id]) => id)
    // What a browser would send when it comes again.
    const lastId = [...text.matchAll(/^id: (\d+)$/gm)].at(-1)![1]!
    const rest = await readServerSentEvents(gateway.url(), { ...asAnn, 'last-event-id': lastId }, (all) =>
      all.includes('sse-399"'),
    )
    const wanted = Array.from({ length: 400 }, (_, number) => `sse-${number}`)
    expect(idsIn(text).length).toBeLessThan(400)
    expect([...idsIn(text), ...idsIn(rest)]).toEqual(wanted)
    expect(Number(lastId)).toBeGreaterThan(place)
  })

  test('what is given up while old events are read is an error, not a hole', async () => {
    const from = await gatewayPlace()
    for (let number = 0; number < 1200; number++) {
      const old = event('VmCreated', { vm_id: `old-${number}`, name: 'old', timestamp })
      bus().nats.publish('horcrux.events.vm.events', JSON.stringify(old))
    }
    await created('newest')
    const { streams: kept } = await bus().manager()
    const read = eventsAfter(from)
    const first = await read.next()
    expect(first.value).toHaveLength(500)
    const { last_seq: last } = (await kept.info(streams.events)).state
    await kept.purge(streams.events, { seq: last - 10 })
    await expect(read.next()).rejects.toThrow(/The stream holds/)
    await read.return(undefined)
  })
})
