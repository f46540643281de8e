import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Deployment, startDeployment } from '../../lab/product/deployment.ts'
import { ask } from '../../lab/clients/http.ts'
import { reckon } from '../../lab/load/reconcile.ts'
import { countsOf, type Load } from '../../lab/load/load.ts'
import { missingForNats } from '../../lab/bus/nats.ts'
import { bugsOf, withPool } from '../../lab/load/outage.ts'
import { available } from '../../lab/requirements.ts'
import { isTorture, sample, seedOf } from '../../lab/faults/seed.ts'
import { type How, takeTurn, type Turn } from '../../lab/load/fault-under-load.ts'
import { until } from '../../lab/wait.ts'

const hasNats = available('nats', await missingForNats())
const betweenMs = isTorture ? 2000 : 1000
const outOfRotationMs = 6000

describe.skipIf(!hasNats)('two replicas of every service', () => {
  let horcrux: Deployment

  beforeAll(async () => {
    horcrux = await withPool(await startDeployment({ replicas: 2, gateways: 2 }))
  })
  afterAll(() => horcrux?.stop())

  test.each<How>(isTorture ? ['killed', 'stopped'] : ['killed'])(
    'each %s in turn fail no request',
    { timeout: 800_000 },
    async (how) => {
      const { services, gateways, token } = horcrux
      const door = { urls: gateways.map(({ url }) => url), token }
      // Of each service one replica in the sample, and a gateway; all of them in full.
      const seed = seedOf('replicas')
      const names = [...new Set(services.map(({ name }) => name.slice(0, -2)))]
      const ofEach = names.flatMap((name) => {
        const replicas = services.filter((part) => part.name.startsWith(name))
        return sample(replicas, seed, 1)
      })
      const loads: Load[] = []
      const turns: Turn[] = []
      for (const part of [...ofEach, ...sample(gateways, seed, 1)])
        turns.push(await takeTurn(part, how, door, betweenMs, loads))
      const sent = turns.flatMap((turn) => turn.sent)
      const wishes = loads.flatMap((load) => load.wishes)
      const found = await reckon(door.urls[0]!, token, wishes)
      const longest = Math.round(Math.max(...sent.map(({ ms }) => ms)))
      process.stdout.write(
        `${how} in turn: ${turns.map(({ name, perSecond }) => `${name} at ${perSecond}/s`).join(', ')}\n` +
          `${sent.length} requests ${JSON.stringify(countsOf(sent))}, ${found.acknowledged} changes acknowledged, ` +
          `longest answer ${longest} ms, lost ${found.lost.length}, doubled ${found.doubled.length}\n`,
      )
      const refused = turns.flatMap(({ failed }) => failed)
      expect({ ...found, refused, bugs: bugsOf(horcrux) }).toMatchObject({
        refused: [],
        failed: [],
        lost: [],
        doubled: [],
        unended: [],
        bugs: [],
      })
    },
  )

  test('a killed one is out of the rotation within 6 s', async () => {
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

  test('a stopped one costs a question less than half a second, and is asked no more until it goes on', async () => {
    const { services, gateways, token } = horcrux
    const part = services.find(({ name }) => name === 'storage-2')!
    const { url } = gateways[0]!
    const timed = async (line: string, json?: unknown) => {
      const begin = performance.now()
      const { status } = await ask(url, line, { token, json })
      expect([200, 201]).toContain(status)
      return performance.now() - begin
    }
    const question = () => timed('GET /api/storage/pools/main/volumes?limit=5')
    const usual = Math.max(...(await Promise.all(Array.from({ length: 10 }, question))))
    part.signal('SIGSTOP')
    try {
      const stopped = performance.now()
      const [questions, changes]: number[][] = [[], []]
      while (performance.now() - stopped < 5000) {
        questions!.push(await question())
        // Only a question has found out that it is silent: a change that was sent to it waits for it.
        if (questions!.length > 10)
          changes!.push(await timed('POST /api/storage/pools', { type: 'dir', name: `hung-${changes!.length}` }))
      }
      const [longest, longestChange] = [Math.max(...questions!), Math.max(...changes!)]
      process.stdout.write(
        `a stopped replica: ${questions!.length} questions, the longest ${Math.round(longest)} ms; ${changes!.length} changes, ` +
          `the longest ${Math.round(longestChange)} ms; before, up to ${Math.round(usual)} ms\n`,
      )
      expect(longest).toBeLessThan(500 + usual)
      expect(longestChange).toBeLessThan(500 + usual)
    } finally {
      part.signal('SIGCONT')
    }
    // The other one alone is away now: whoever was stopped is asked again.
    const other = services.find(({ name }) => name === 'storage-1')!
    await until(question, { what: 'an answer' })
    await other.kill()
    expect(await until(question, { what: 'an answer of the one that goes on' })).toBeLessThan(5000)
    await other.start()
  })
})
