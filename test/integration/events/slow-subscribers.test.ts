import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventLoad } from '../../lab/load/event-load.ts'
import { type Deployment, startDeployment } from '../../lab/product/deployment.ts'
import { missingForNats } from '../../lab/bus/nats.ts'
import { available } from '../../lab/requirements.ts'
import { isTorture } from '../../lab/faults/seed.ts'

const hasNats = available('nats', await missingForNats())
/** In full as many as the benchmark `events` measures. */
const asked = isTorture
  ? { clients: 1000, stalled: 50, perSecond: 20, seconds: 10 }
  : { clients: 200, stalled: 10, perSecond: 20, seconds: 6 }

describe.skipIf(!hasNats)('many clients', () => {
  let horcrux: Deployment

  beforeAll(async () => {
    horcrux = await startDeployment()
  })
  afterAll(() => horcrux?.stop())

  test('are not delayed by clients that do not read, which are told so and closed', async () => {
    const { gateways, connect, token } = horcrux
    const found = await eventLoad({ url: gateways[0]!.url, connect, token, ...asked })
    const { delivered, p50Ms: p50, p99Ms: p99, longestMs, closingCodes } = found
    process.stdout.write(
      `${asked.clients} clients, ${asked.stalled} of them stalled: ${delivered} deliveries, p50 ${p50.toFixed(1)} ms, ` +
        `p99 ${p99.toFixed(1)} ms, longest ${longestMs.toFixed(1)} ms, ${closingCodes.length} closed\n`,
    )
    expect(found.missing).toBe(0)
    expect(closingCodes).toEqual(Array.from({ length: asked.stalled }, () => 4429))
  })
})
