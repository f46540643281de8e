import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventLoad } from '../../lab/load/event-load.ts'
import { type Deployment, startDeployment } from '../../lab/product/deployment.ts'
import { missingForNats } from '../../lab/bus/nats.ts'
import { available } from '../../lab/requirements.ts'
import { isTorture } from '../../lab/faults/seed.ts'

const hasNats = available('nats', await missingForNats())
/** A sample on a machine that does other things too; in full, and in the benchmark, what is promised. */
const asked = isTorture
  ? { readers: 1000, stalled: 50, perSecond: 20, seconds: 10 }
  : { readers: 200, stalled: 10, perSecond: 20, seconds: 6 }
const p99Ms = isTorture ? 250 : 500

describe.skipIf(!hasNats)('many readers', () => {
  let horcrux: Deployment

  beforeAll(async () => {
    horcrux = await startDeployment()
  })
  afterAll(() => horcrux?.stop())

  test('are not delayed by clients that do not read, which are told so and closed', async () => {
    const { gateways, connect, token } = horcrux
    const found = await eventLoad({ url: gateways[0]!.url, connect, token, ...asked })
    const { delivered, p50Ms: p50, p99Ms: p99, longestMs, goodbyes } = found
    process.stdout.write(
      `${asked.readers} readers, ${asked.stalled} of them stalled: ${delivered} deliveries, p50 ${p50.toFixed(1)} ms, ` +
        `p99 ${p99.toFixed(1)} ms, longest ${longestMs.toFixed(1)} ms, ${goodbyes.length} closed\n`,
    )
    expect(found.missing).toBe(0)
    expect(goodbyes).toEqual(Array.from({ length: asked.stalled }, () => 4429))
    expect(p99).toBeLessThan(p99Ms)
  })
})
