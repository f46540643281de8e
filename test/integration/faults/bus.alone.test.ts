import { rm } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Deployment, startDeployment } from '../../lab/product/deployment.ts'
import { ask } from '../../lab/clients/http.ts'
import { missingForNats } from '../../lab/bus/nats.ts'
import { disturbance, nothingWrong, withPool } from '../../lab/load/outage.ts'
import { available } from '../../lab/requirements.ts'
import { isTorture } from '../../lab/faults/seed.ts'
import { openSocket } from '../../lab/clients/sockets.ts'
import { until } from '../../lab/wait.ts'

const hasNats = available('nats', await missingForNats())

describe.skipIf(!hasNats)('a bus that goes away', () => {
  let horcrux: Deployment

  beforeAll(async () => {
    horcrux = await withPool(await startDeployment())
  })
  afterAll(() => horcrux?.stop())

  test.each(isTorture ? [3, 30] : [3])('for %i s loses and doubles nothing', async (seconds) => {
    const { nats } = horcrux
    const found = await disturbance(horcrux, `NATS killed for ${seconds} s`, async () => {
      await nats.kill()
      await delay(seconds * 1000)
      await nats.start()
    })
    expect(found).toMatchObject({ ...nothingWrong, resyncs: [] })
  })

  test('and comes back empty: streams, queue and events are created again', async () => {
    const { nats, jetStreamDir, gateways, token } = horcrux
    const { url } = gateways[0]!
    const found = await disturbance(horcrux, 'JetStream folder deleted', async () => {
      await nats.kill()
      await rm(jetStreamDir, { recursive: true })
      await delay(3000)
      await nats.start()
    })
    expect(found).toMatchObject(nothingWrong)
    expect(found.resyncs.length).toBeGreaterThan(0)
    const socket = await openSocket(url, {
      headers: { authorization: `Bearer ${token}` },
      first: { topics: ['operations'] },
    })
    await socket.next('Subscribed')
    const { body } = await ask(url, 'POST /api/storage/pools/main/volumes', {
      token,
      json: { name: 'after', size: 2 ** 30 },
    })
    await until(() => socket.events().some(({ data }) => data['id'] === body['id'] && data['state'] === 'succeeded'))
    socket.socket.close()
  })
})
