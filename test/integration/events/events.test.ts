import { nanos } from 'nats'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { bus } from '#shared/bus/bus.ts'
import { ensureStreams, streams } from '#shared/bus/streams.ts'
import { within } from '#shared/runtime/request-context.ts'
import { event } from '#shared/events/event.ts'
import { publish } from '#shared/events/publish.ts'
import { createGateway } from '../../../services/gateway/service.ts'
import {
  asAnn,
  asBob,
  created,
  ids,
  placeAt,
  resetClients,
  subscribed,
  timestamp,
} from '../../lab/clients/event-clients.ts'
import { startThings } from '../../lab/product/gateway-only.ts'
import { people, tellAuthChanged, things } from '../../lab/product/things.ts'
import type { TestHorcrux } from '../../lab/product/horcrux.ts'
import { ask } from '../../lab/clients/http.ts'
import { missingForNats } from '../../lab/bus/nats.ts'
import { available } from '../../lab/requirements.ts'
import { readServerSentEvents } from '../../lab/clients/server-sent-events.ts'
import { openSocket, type TestSocket } from '../../lab/clients/sockets.ts'
import { until } from '../../lab/wait.ts'

const hasNats = available('nats', await missingForNats())
const gateway = createGateway([things])
const other = createGateway([things])
let horcrux: TestHorcrux

const stopped = (vm_id: string) =>
  publish(event('VmStatusChanged', { vm_id, old_status: 'running', new_status: 'stopped', timestamp }))
const topics = ['vm:events']
const open = (headers: Record<string, string>, first?: object) => subscribed(gateway, headers, first)

describe.skipIf(!hasNats)('events', () => {
  beforeAll(async () => {
    horcrux = await startThings([gateway, other])
  })
  afterAll(() => horcrux?.stop())
  beforeEach(resetClients)

  test('come in order, in the envelope, of the topics that were asked for', async () => {
    const socket = await open(asAnn)
    await created('a')
    await stopped('a')
    await created('b')
    await until(() => socket.events().length === 2)
    const [first, second] = socket.events()
    expect(first).toEqual({
      seq: expect.any(Number),
      type: 'VmCreated',
      time: expect.stringMatching(/Z$/),
      topic: 'vm:events',
      data: { vm_id: 'a', name: 'a', timestamp },
    })
    expect(second!.seq).toBe(first!.seq + 2)
    socket.socket.close()
  })

  test('of an operation with a lower version than was told before are left out, live and on resuming', async () => {
    const place = await placeAt(gateway)
    const asked = { topics: ['operations'] }
    const live = await open(asAnn, asked)
    for (const [version, state] of [
      [1, 'running'],
      [6, 'succeeded'],
      [2, 'running'],
      [6, 'succeeded'],
    ] as const)
      await publish(event('OperationUpdated', { id: 'late', version, state, user: 'ann' } as never))
    await publish(event('OperationUpdated', { id: 'other', version: 1, state: 'running', user: 'ann' } as never))
    const told = (socket: TestSocket) => socket.events().map(({ data }) => [data['id'], data['version']])
    const expected = [
      ['late', 1],
      ['late', 6],
      ['late', 6],
      ['other', 1],
    ]
    const late = await open(asAnn, { ...asked, from: place })
    for (const socket of [live, late]) {
      await until(() => told(socket).at(-1)?.[0] === 'other', { what: 'the last event' })
      expect(told(socket)).toEqual(expected)
      socket.socket.close()
    }
  })

  test('a missing stream is answered as unavailable, not as a bug', async () => {
    const socket = await open(asAnn)
    const ask0 = async () => {
      const manager = await bus().manager()
      await manager.streams.delete(streams.events).catch(() => undefined)
      const before = socket.received.length
      socket.send({ topics, from: 0 })
      await until(() => socket.received.slice(before).some(({ type }) => type === 'Error' || type === 'Subscribed'))
      return socket.received.find(({ type }) => type === 'Error')
    }
    // The gateways make it anew at once, and may have been faster.
    const error = await until(ask0, { what: 'an error' })
    expect(error.data).toMatchObject({ status: 503, error: 'SERVICE_UNAVAILABLE', retryable: true })
    await ensureStreams(bus())
    socket.socket.close()
  })

  test('the topics may change on the way', async () => {
    const socket = await open(asAnn)
    socket.send({ topics: ['vm:status'] })
    await until(() => socket.received.filter(({ type }) => type === 'Subscribed').length === 2)
    await created('unheard')
    await stopped('heard')
    await until(() => socket.events().length > 0)
    expect(socket.events()).toMatchObject([{ type: 'VmStatusChanged', data: { vm_id: 'heard' } }])
    socket.socket.close()
  })

  test('from a place on, nothing is missing and nothing comes twice, at any gateway', async () => {
    const before = await open(asAnn)
    const { seq: from } = await before.next('Subscribed')
    for (let number = 0; number < 50; number++) await created(`cut-${number}`)
    await until(() => before.events().length === 50)
    before.socket.close()
    const expected = Array.from({ length: 50 }, (_, number) => `cut-${number}`)
    expect(ids(before)).toEqual(expected)
    for (const [index, { url }] of [gateway, other].entries()) {
      const last = `after-${index}`
      const middle = before.events()[19]!.seq
      const again = await openSocket(url(), { headers: asAnn, first: { topics, from: middle } })
      const whole = await openSocket(url(), { headers: asAnn, first: { topics, from } })
      await created(last)
      await until(() => ids(again).includes(last) && ids(whole).includes(last))
      expect(ids(again).slice(0, 30)).toEqual(expected.slice(20))
      expect(ids(whole).slice(0, 50)).toEqual(expected)
      again.socket.close()
      whole.socket.close()
    }
  })

  test('each client gets only the events that its rights allow', async () => {
    const [ann, bob] = [await open(asAnn), await open(asBob)]
    await created('secret')
    await created('b1')
    await until(() => bob.events().length > 0 && ann.events().length > 1)
    expect([ids(bob), ids(ann)]).toEqual([['b1'], ['secret', 'b1']])
    bob.socket.close()
    ann.socket.close()
  })

  test('a removed right stops them', async () => {
    const bob = await open(asBob)
    await created('b1')
    await until(() => bob.events().length === 1)
    people.set('bob-token', { user: 'bob', rights: [{ path: '/api/vms/b2', privileges: ['VmAudit'] }] })
    await tellAuthChanged('bob')
    // Events of both kinds, until the first that only the new rights show.
    await until(async () => {
      await created('b1')
      await created('b2')
      return ids(bob).includes('b2')
    })
    const seen = ids(bob).length
    await created('b1')
    await created('b2')
    await until(() => ids(bob).length > seen && ids(bob).at(-1) === 'b2')
    expect(ids(bob).slice(ids(bob).indexOf('b2'))).not.toContain('b1')
    bob.socket.close()
  })

  test('a client whose credentials end is told so and closed', async () => {
    const bob = await open(asBob)
    people.delete('bob-token')
    await tellAuthChanged('bob')
    expect(await bob.closed).toEqual({ code: 4401, reason: 'The credentials are no longer valid' })
    expect(bob.received.at(-1)).toMatchObject({ type: 'Error' })
  })

  test('a client that does not read is told so and closed; others are not delayed', async () => {
    const [slow, quick] = [await open(asAnn), await open(asAnn)]
    slow.socket.pause()
    const long = 'x'.repeat(50_000)
    // What the kernel takes in does not count: it is more than any such buffer.
    for (let number = 0; number < 400; number++)
      await publish(event('VmCreated', { vm_id: `big-${number}`, name: long, timestamp }))
    await until(() => ids(quick).length === 400)
    slow.socket.resume()
    expect(await slow.closed).toMatchObject({ code: 4429 })
    expect(slow.received.at(-1)).toMatchObject({ type: 'Error' })
    // No hole in what it was given.
    expect(ids(slow)).toEqual(ids(quick).slice(0, ids(slow).length))
    quick.socket.close()
  })

  test("a burst larger than a client's buffer closes no client that reads", async () => {
    const quick = await open(asAnn)
    const numbers = Array.from({ length: 200 }, (_, number) => number)
    const long = 'y'.repeat(50_000)
    await Promise.all(
      numbers.map((number) => publish(event('VmCreated', { vm_id: `burst-${number}`, name: long, timestamp }))),
    )
    await until(() => ids(quick).length === numbers.length, { what: 'the whole burst' })
    expect(new Set(ids(quick)).size).toBe(numbers.length)
    await created('after')
    await until(() => ids(quick).at(-1) === 'after')
    quick.socket.close()
  })

  test('Server-Sent Events carry the same, and go on from Last-Event-ID', async () => {
    const subscribed = await readServerSentEvents(gateway.url(), asAnn, (text) => text.includes('Subscribed'))
    const place = /id: (\d+)/.exec(subscribed)![1]!
    await created('sse-1')
    await created('sse-2')
    const text = await readServerSentEvents(gateway.url(), { ...asAnn, 'last-event-id': place }, (all) =>
      all.includes('"vm_id":"sse-2"'),
    )
    const data = [...text.matchAll(/^data: (.*)$/gm)].map(
      ([, json]) => JSON.parse(json!) as { type: string; seq: number; data: { vm_id: string } },
    )
    expect(data.filter(({ type }) => type === 'VmCreated').map(({ data }) => data.vm_id)).toEqual(['sse-1', 'sse-2'])
    expect(text).toContain(`id: ${data.at(-1)!.seq}\ndata:`)
    expect(await ask(gateway.url(), 'GET /api/events')).toMatchObject({ status: 401 })
    expect(await ask(gateway.url(), 'GET /api/events?topics=no', { token: 'ann-token' })).toMatchObject({ status: 422 })
  })

  test('a place older than the retention gives Resync over both media, then the events that are still kept', async () => {
    const before = await placeAt(gateway)
    for (let number = 0; number < 20; number++) await created(`old-${number}`)
    const { streams: kept } = await bus().manager()
    const { config: usual } = await kept.info(streams.events)
    await kept.update(streams.events, { ...usual, max_age: nanos(1000), duplicate_window: nanos(1000) })
    await until(async () => (await kept.info(streams.events)).state.messages === 0, {
      what: 'the end of the retention',
    })
    await kept.update(streams.events, usual)
    // A gateway that has nothing in memory any more.
    const late = createGateway([things])
    const caller = { kind: 'service', name: 'gateway' } as const
    const context = { broker: horcrux.broker, service: 'gateway', caller, requestId: 'test' }
    const stop = await within(context, () => late.start!(horcrux.broker))
    try {
      const behind = await openSocket(late.url(), { headers: asAnn, first: { topics, from: before } })
      const resync = await behind.next('Resync')
      expect(resync.data).toEqual({ reason: 'These events are no longer kept' })
      await created('fresh')
      await until(() => ids(behind).includes('fresh'))
      expect(ids(behind)).toEqual(['fresh'])
      const upToDate = await openSocket(late.url(), { headers: asAnn, first: { topics, from: resync.seq } })
      await until(() => ids(upToDate).includes('fresh'))
      expect(upToDate.received.map(({ type }) => type)).toEqual(['Subscribed', 'VmCreated'])
      const told = await readServerSentEvents(late.url(), { ...asAnn, 'last-event-id': String(before) }, (text) =>
        text.includes('"type":"Resync"'),
      )
      expect(Number(/id: (\d+)\ndata: \{[^\n]*"type":"Resync"/.exec(told)?.[1])).toBeGreaterThanOrEqual(resync.seq)
      const going = await readServerSentEvents(late.url(), { ...asAnn, 'last-event-id': String(resync.seq) }, (text) =>
        text.includes('"fresh"'),
      )
      expect(going).not.toContain('Resync')
      behind.socket.close()
      upToDate.socket.close()
    } finally {
      await stop()
    }
  })

  test('a stream that was lost leads to Resync, and its successor uses no place again', async () => {
    const socket = await open(asAnn)
    await created('lost')
    await until(() => socket.events().length === 1)
    const { seq } = socket.events()[0]!
    await (await bus().manager()).streams.delete(streams.events)
    await ensureStreams(bus())
    const resync = await socket.next('Resync')
    expect(resync.seq).toBeGreaterThan(seq)
    await created('anew')
    await until(() => ids(socket).includes('anew'))
    expect(socket.events().at(-1)!.seq).toBeGreaterThan(resync.seq)
    const late = await openSocket(gateway.url(), { headers: asAnn, first: { topics, from: seq } })
    await late.next('Resync')
    late.socket.close()
    socket.socket.close()
  })
})
