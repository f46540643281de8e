import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Deployment, startDeployment } from '../lab/deployment.ts'
import { ask } from '../lab/http.ts'
import { reckon } from '../lab/ledger.ts'
import { countsOf, cut, type Sent, startLoad } from '../lab/load.ts'
import { missingForNats } from '../lab/nats.ts'
import type { Part } from '../lab/part.ts'
import { bugsOf, withPool } from '../lab/outage.ts'
import { available } from '../lab/requirements.ts'
import { isTorture, sample, seedOf } from '../lab/seed.ts'

const hasNats = available('nats', await missingForNats())
/** Requests a second: what is promised, and what is tried on a machine that is too busy for that even undisturbed. */
const paces = [50, 25, 12, 6]
const usualMs = 1000
const betweenMs = isTorture ? 2000 : 1000
const outOfRotationMs = 6000

/** The highest pace at which everything is answered soon while nothing is broken. */
async function paceOf(urls: string[], token: string): Promise<number> {
  for (const perSecond of paces) {
    const load = startLoad({ urls, token, perSecond })
    await delay(2000)
    await load.stop()
    if (load.sent.every(({ ms }) => ms < usualMs)) return perSecond
  }
  throw new Error('This machine is too busy for this test: it does not answer 6 requests a second within a second')
}

describe.skipIf(!hasNats)('two replicas of every service', () => {
  let horcrux: Deployment

  beforeAll(async () => {
    horcrux = await withPool(await startDeployment({ replicas: 2, gateways: 2 }))
  })
  afterAll(() => horcrux?.stop())

  test.each(isTorture ? ['killed', 'stopped'] : ['killed'])(
    'each %s in turn fail no request',
    { timeout: 500_000 },
    async (how) => {
      const { services, gateways, token } = horcrux
      const urls = gateways.map(({ url }) => url)
      const perSecond = await paceOf(urls, token)
      const load = startLoad({ urls, token, perSecond, insistMs: 0 })
      await delay(betweenMs)
      const since = performance.now()
      // Of each service one replica in the sample, and a gateway; all of them in full.
      const seed = seedOf('replicas')
      const names = [...new Set(services.map(({ name }) => name.slice(0, -2)))]
      const chosen = names.flatMap((name) =>
        sample(
          services.filter((part) => part.name.startsWith(name)),
          seed,
          1,
        ),
      )
      const told: string[] = []
      const end = async (part: Part) => {
        if (how === 'killed') return part.kill()
        part.signal('SIGTERM')
        return part.ended()
      }
      for (const part of [...chosen, ...sample(gateways, seed, 1)]) {
        told.push(`${((performance.now() - since) / 1000).toFixed(1)} s ${part.name}`)
        await end(part)
        await delay(betweenMs)
        await part.start()
        await delay(betweenMs)
      }
      await load.stop()
      const { sent, wishes } = load
      // What had no key and was cut off with its gateway: nobody but its sender may repeat it.
      const isOfNobody = ({ status, line }: Sent) =>
        how === 'killed' && status === cut && line === 'POST /api/storage/pools'
      const failed = sent.filter((one) => (one.status < 200 || one.status >= 300) && !isOfNobody(one))
      const found = await reckon(urls[0]!, token, wishes)
      const longest = Math.round(Math.max(...sent.map(({ ms }) => ms)))
      process.stdout.write(
        `${how} in turn: ${told.join(', ')}\n${sent.length} requests at ${perSecond}/s ${JSON.stringify(countsOf(sent))}, ` +
          `${found.acknowledged} changes acknowledged, longest answer ${longest} ms, lost ${found.lost.length}, doubled ${found.doubled.length}\n`,
      )
      const words = failed.map(
        ({ at, line, status, ms, body }) =>
          `${((at - since) / 1000).toFixed(1)} s: ${line} ${status} after ${Math.round(ms)} ms ${JSON.stringify(body)}`,
      )
      expect({ ...found, refused: words, bugs: bugsOf(horcrux) }).toMatchObject({
        refused: [],
        failed: [],
        lost: [],
        doubled: [],
        unended: [],
        bugs: [],
      })
    },
  )

  test('a killed one is out of the rotation within 6 s', { timeout: 60_000 }, async () => {
    const { services, gateways, token } = horcrux
    const part = services.find(({ name }) => name === 'storage-1')!
    await part.kill()
    const killed = performance.now()
    // The longest that any answer took to come while the other replica alone was left.
    let slowUntil = 0
    while (performance.now() - killed < outOfRotationMs) {
      const begin = performance.now()
      const { status } = await ask(gateways[0]!.url, 'GET /api/storage/pools/main', { token })
      expect(status).toBe(200)
      if (performance.now() - begin > 200) slowUntil = performance.now() - killed
    }
    process.stdout.write(`a killed replica: the last slow answer came ${Math.round(slowUntil)} ms after its end\n`)
    expect(slowUntil).toBeLessThan(outOfRotationMs)
    await part.start()
  })
})
