import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Deployment, startDeployment } from '../lab/deployment.ts'
import { ask } from '../lab/http.ts'
import { missingForNats } from '../lab/nats.ts'
import { disturbance } from '../lab/outage.ts'
import { available } from '../lab/requirements.ts'

const hasNats = available('nats', await missingForNats())
const everything = process.env['TORTURE'] !== undefined

describe.skipIf(!hasNats)('a bus that goes away', () => {
  let horcrux: Deployment

  beforeAll(async () => {
    horcrux = await startDeployment()
    const { gateways, token } = horcrux
    await ask(gateways[0]!.url, 'POST /api/storage/pools', { token, json: { id: 'main', type: 'dir' } })
  })
  afterAll(() => horcrux?.stop())

  test.each(everything ? [3, 30] : [3])('for %i s loses and doubles nothing', { timeout: 180_000 }, async (seconds) => {
    const { nats } = horcrux
    const found = await disturbance(horcrux, `NATS killed for ${seconds} s`, async () => {
      await nats.kill()
      await delay(seconds * 1000)
      await nats.start()
    })
    expect(found).toMatchObject({ lost: [], doubled: [], unended: [], failed: [], wrong: [], late: [], unrecovered: [] })
  })
})
