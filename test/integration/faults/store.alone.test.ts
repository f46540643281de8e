import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Deployment, hasOwnStore, startDeployment } from '../../lab/product/deployment.ts'
import { missingForNats } from '../../lab/bus/nats.ts'
import { disturbance, nothingWrong, withPool } from '../../lab/load/outage.ts'
import { available } from '../../lab/requirements.ts'

const hasNats = available('nats', await missingForNats())
const mayKill = available('own store', hasOwnStore ? [] : ['one that may be killed: MONGODB_URL is set'])
const seconds = 10

describe.skipIf(!hasNats || !mayKill)('a store that goes away', () => {
  let horcrux: Deployment

  beforeAll(async () => {
    horcrux = await withPool(await startDeployment())
  })
  afterAll(() => horcrux?.stop())

  test('killed, and started again, loses and doubles nothing', async () => {
    const { store } = horcrux
    const found = await disturbance(horcrux, `store killed for ${seconds} s`, async () => {
      await store.kill()
      await delay(seconds * 1000)
      await store.start()
    })
    expect(found).toMatchObject({ ...nothingWrong, resyncs: [] })
  })

  test('stopped, and continued, loses and doubles nothing', async () => {
    const { store } = horcrux
    const found = await disturbance(horcrux, `store stopped for ${seconds} s`, async () => {
      store.signal('SIGSTOP')
      await delay(seconds * 1000)
      store.signal('SIGCONT')
    })
    expect(found).toMatchObject({ ...nothingWrong, resyncs: [] })
  })
})
