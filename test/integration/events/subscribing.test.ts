import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createGateway } from '../../../services/gateway/service.ts'
import { asAnn, resetClients } from '../../lab/clients/event-clients.ts'
import { startThings } from '../../lab/product/gateway-only.ts'
import { things } from '../../lab/product/things.ts'
import type { TestHorcrux } from '../../lab/product/horcrux.ts'
import { ask } from '../../lab/clients/http.ts'
import { missingForNats } from '../../lab/bus/nats.ts'
import { available } from '../../lab/requirements.ts'
import { openSocket } from '../../lab/clients/sockets.ts'
import { until } from '../../lab/wait.ts'

const hasNats = available('nats', await missingForNats())
const gateway = createGateway([things])
let horcrux: TestHorcrux

const topics = ['vm:events']

describe.skipIf(!hasNats)('asking for events', () => {
  beforeAll(async () => {
    horcrux = await startThings([gateway])
  })
  afterAll(() => horcrux?.stop())
  beforeEach(resetClients)

  test('unknown topics are refused, all in one answer', async () => {
    const { status, body } = await ask(gateway.url(), 'GET /api/events?topic=vm:status&topics=x&from=y', {
      headers: asAnn,
    })
    expect(status).toBe(422)
    expect((body['violations'] as { field: string }[]).map(({ field }) => field)).toEqual(['topic', 'topics', 'from'])
    expect(await ask(gateway.url(), 'GET /api/ws', { headers: asAnn })).toMatchObject({
      status: 400,
      body: { message: expect.stringContaining('GET /api/events') },
    })
  })

  test('HEAD is answered at once', async () => {
    const { status, headers } = await ask(gateway.url(), 'HEAD /api/events', { headers: asAnn })
    expect([status, headers['content-type']]).toEqual([200, 'text/event-stream; charset=utf-8'])
    expect((await ask(gateway.url(), 'HEAD /api/events')).status).toBe(401)
  })

  test('the proof may come as the first message, alone or with the topics', async () => {
    const alone = await openSocket(gateway.url(), { first: { token: 'ann-token' } })
    alone.send({ topics })
    const together = await openSocket(gateway.url(), { first: { token: 'hx_ann_key', topics } })
    await Promise.all([alone.next('Subscribed'), together.next('Subscribed')])
    alone.socket.close()
    together.socket.close()
  })

  test('mistakes are answered, and the connection lives on', async () => {
    const socket = await openSocket(gateway.url(), { first: { topics } })
    expect((await socket.next('Error')).data).toMatchObject({ error: 'AUTHENTICATION_FAILED' })
    socket.send({ token: 'ann-token', topics: ['vm:nothing'], from: -1, what: 1 })
    const told = await until(() => socket.received[1])
    expect((told.data['violations'] as { field: string }[]).map(({ field }) => field).sort()).toEqual([
      'from',
      'topics.0',
      'what',
    ])
    socket.socket.send('{"topics": [')
    expect(await until(() => socket.received[2])).toMatchObject({ data: { error: 'BAD_REQUEST' } })
    socket.send({ token: 'ann-token', topics })
    await socket.next('Subscribed')
    socket.socket.close()
  })

  test('a wrong proof in a header, or a page of another origin, opens nothing', async () => {
    await expect(openSocket(gateway.url(), { headers: { authorization: 'Bearer wrong' } })).rejects.toThrow('401')
    const cookie = 'horcrux_session=ann-session'
    await expect(openSocket(gateway.url(), { headers: { cookie, origin: 'http://evil.example' } })).rejects.toThrow(
      '403',
    )
    const own = await openSocket(gateway.url(), { headers: { cookie, origin: gateway.url() }, first: { topics } })
    await own.next('Subscribed')
    own.socket.close()
  })
})
