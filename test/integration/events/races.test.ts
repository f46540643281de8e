import { get, type IncomingMessage } from 'node:http'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { bus } from '#shared/bus/bus.ts'
import { streams } from '#shared/bus/streams.ts'
import { event } from '#shared/events/event.ts'
import { eventsAfter } from '#shared/events/stream.ts'
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
import { identified, late, people, type Person, tellAuthChanged, things } from '../../lab/product/things.ts'
import type { TestHorcrux } from '../../lab/product/horcrux.ts'
import { missingForNats } from '../../lab/bus/nats.ts'
import { available } from '../../lab/requirements.ts'
import { readServerSentEvents } from '../../lab/clients/server-sent-events.ts'
import { until } from '../../lab/wait.ts'

const hasNats = available('nats', await missingForNats())
const gateway = createGateway([things])
let horcrux: TestHorcrux

const open = (headers: Record<string, string>) => subscribed(gateway, headers)

describe.skipIf(!hasNats)('events when several things happen at once', () => {
  beforeAll(async () => {
    horcrux = await startThings([gateway])
  })
  afterAll(() => horcrux?.stop())
  beforeEach(resetClients)

  const onlyB2: Person = { user: 'bob', rights: [{ path: '/api/vms/b2', privileges: ['VmAudit'] }] }

  test('a late answer about rights does not restore a right that was removed meanwhile', async () => {
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

  test('a right removed while a connection opens does not reach the connection', async () => {
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

  test('a client that does not read Server-Sent Events is told too, and can resume where it stopped', async () => {
    const place = await placeAt(gateway)
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
    await until(() => ids(quick).includes('after'))
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

  test('events dropped from the stream while old ones are read give an error, not a gap', async () => {
    const from = await placeAt(gateway)
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
