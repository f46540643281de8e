import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Deployment, startDeployment } from '../../lab/product/deployment.ts'
import { ask } from '../../lab/clients/http.ts'
import { reconcile } from '../../lab/load/reconcile.ts'
import { countsOf, type Load } from '../../lab/load/load.ts'
import { missingForNats } from '../../lab/bus/nats.ts'
import { bugsOf, withPool } from '../../lab/load/outage.ts'
import { available } from '../../lab/requirements.ts'
import { isTorture, sample, seedOf } from '../../lab/faults/seed.ts'
import { type FaultUnderLoad, faultUnderLoad, type How } from '../../lab/load/fault-under-load.ts'
import { until } from '../../lab/wait.ts'

const hasNats = available('nats', await missingForNats())
const secondsEach = isTorture ? 2 : 1

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
      const to = { urls: gateways.map(({ url }) => url), token }
      // Of each service one replica in the sample, and a gateway; all of them in full.
      const seed = seedOf('replicas')
      const names = [...new Set(services.map(({ name }) => name.slice(0, -2)))]
      const ofEach = names.flatMap((name) => {
        const replicas = services.filter((part) => part.name.startsWith(name))
        return sample(replicas, seed, 1)
      })
      const loads: Load[] = []
      const underLoad: FaultUnderLoad[] = []
      for (const part of [...ofEach, ...sample(gateways, seed, 1)])
        underLoad.push(await faultUnderLoad(part, how, to, secondsEach, loads))
      const sent = underLoad.flatMap((one) => one.sent)
      const wishes = loads.flatMap((load) => load.wishes)
      const found = await reconcile(to.urls[0]!, token, wishes)
      const longest = Math.round(Math.max(...sent.map(({ ms }) => ms)))
      process.stdout.write(
        `${how} in turn: ${underLoad.map(({ name, perSecond }) => `${name} at ${perSecond}/s`).join(', ')}\n` +
          `${sent.length} requests ${JSON.stringify(countsOf(sent))}, ${found.acknowledged} changes acknowledged, ` +
          `longest answer ${longest} ms, lost ${found.lost.length}, doubled ${found.doubled.length}\n`,
      )
      const refused = underLoad.flatMap(({ failed }) => failed)
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

  test('with one replica killed the other one answers every question', async () => {
    const { services, gateways, token } = horcrux
    const part = services.find(({ name }) => name === 'storage-1')!
    await part.kill()
    for (let question = 0; question < 50; question++)
      expect(await ask(gateways[0]!.url, 'GET /api/storage/pools/main', { token })).toMatchObject({ status: 200 })
    await part.start()
  })

  test('with one replica stopped the other one answers every question and every change', async () => {
    const { services, gateways, token } = horcrux
    const [other, part] = ['storage-1', 'storage-2'].map((name) => services.find((each) => each.name === name)!)
    const { url } = gateways[0]!
    const question = async () => (await ask(url, 'GET /api/storage/pools/main/volumes?limit=5', { token })).status
    const change = async (name: string) =>
      (await ask(url, 'POST /api/storage/pools', { token, json: { type: 'dir', name } })).status
    part!.signal('SIGSTOP')
    try {
      for (let number = 0; number < 30; number++) {
        expect(await question()).toBe(200)
        // Only a question finds out that the replica is silent: a change that was sent to it waits for it.
        if (number > 10) expect(await change(`hung-${number}`)).toBe(201)
      }
    } finally {
      part!.signal('SIGCONT')
    }
    // The other one goes away: the one that was stopped is asked again.
    await until(async () => (await question()) === 200, { what: 'an answer' })
    await other!.kill()
    await until(async () => (await question()) === 200, { what: 'an answer of the replica that was stopped' })
    await other!.start()
  })
})
