import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createCanaries } from '../../lab/canaries/canaries.ts'
import { createRecorder, secretRoutes } from '../../lab/canaries/recorder.ts'
import { faultsOf, guessed, lineOf } from '../../lab/canaries/faults.ts'
import { filesOf, logsOf, type Places, recordsOf, streamsOf, watchProcesses } from '../../lab/canaries/places.ts'
import {
  failing,
  makeContainer,
  makeVm,
  person,
  poolsElsewhere,
  type Way,
  ways,
  type World,
} from '../../lab/canaries/ways.ts'
import { type Deployment, hasOwnStore, startDeployment, wholeKey } from '../../lab/product/deployment.ts'
import { labEngines } from '../../lab/containers/engines.ts'
import { follow, type Follower } from '../../lab/clients/follower.ts'
import { missingForNats } from '../../lab/bus/nats.ts'
import type { Part } from '../../lab/product/child-process.ts'
import { available } from '../../lab/requirements.ts'
import { openSocket } from '../../lab/clients/sockets.ts'
import { until } from '../../lab/wait.ts'
import { labHosts } from '../../lab/hosts/lab.ts'

const hasNats = available('nats', await missingForNats())

test('there is a request that succeeds for every route that takes or gives a secret', () => {
  expect(Object.keys(ways).toSorted()).toEqual(secretRoutes.map(({ name }) => name).toSorted())
})

describe.skipIf(!hasNats || labHosts.length === 0)('a secret is nowhere but where it belongs', () => {
  const canaries = createCanaries()
  const processes = watchProcesses()
  let horcrux: Deployment
  let url = ''
  const recorder = createRecorder(() => url, canaries)
  let world: World
  let someone: Awaited<ReturnType<typeof person>>
  const followers: Follower[] = []

  /** Signs the first user in by the set-up token, which is in the log of auth by design. */
  const firstSignIn = async (gateway: string, services: Part[]): Promise<string> => {
    url = gateway
    const said = services.flatMap((part) => (part.name.startsWith('auth') ? part.said() : [])).join('\n')
    const setupToken = /Set-up token, [^:]+: (\S+?)"/.exec(said)?.[1] ?? ''
    canaries.learn('the set-up token', setupToken)
    world = { ...recorder, canaries, root: '', setupToken, host: labHosts[1]!, vm: '', container: '' }
    const route = secretRoutes.find(({ name }) => name === 'auth.setup')!
    await goWrong(route, await ways['auth.setup']!(world))
    const way = await ways['auth.setup']!(world)
    const { username, password } = way.params
    await goWell(route, way)
    const { body } = await recorder.ask('POST /api/auth/login', { json: { username, password } })
    return String(body['token'])
  }

  type Route = (typeof secretRoutes)[number]
  const goWrong = async (route: Route, way: Way): Promise<void> => {
    const weak = someone?.token ?? ''
    for (const { what, line, asked, statuses } of faultsOf(route, way, weak, canaries)) {
      const { status, text } = await recorder.ask(line, asked)
      expect(statuses, `${line}, ${what}: ${status} ${text}`).toContain(status)
    }
  }
  const sendBy = (route: Route, way: Way, params = way.params, headers: Record<string, string> = {}) => {
    const { line, json } = lineOf(route, params)
    return recorder.ask(line, {
      json,
      headers: { ...way.headers, ...headers },
      ...(way.token !== undefined && { token: way.token }),
    })
  }
  /** The request, its repetition, the same again, and one with the wrong secrets. */
  const goWell = async (route: Route, way: Way): Promise<void> => {
    const headers = { 'idempotency-key': randomUUID() }
    const first = await sendBy(route, way, way.params, headers)
    if (way.orElse !== undefined) return expect([204, way.orElse], first.text).toContain(first.status)
    expect(first.status, `${route.name}: ${first.text}`).toBeLessThan(300)
    if (way.state !== undefined) {
      const { id } = first.body
      if (way.state === 'cancelled')
        await recorder.ask(`POST /api/operations/${String(id)}/cancel`, { token: way.token! })
      const ended = await recorder.ask(`GET /api/operations/${String(id)}/wait?timeout=60`, { token: way.token! })
      expect(ended.body['state'], ended.text).toBe(way.state)
    }
    if (route.method === 'POST' && way.token !== undefined) {
      const again = await sendBy(route, way, way.params, headers)
      expect(again.text, `${route.name} again`).toBe(first.text)
    }
    const wrong = guessed(route, way, canaries)
    for (const [params, more] of [
      [way.params, {}],
      [wrong, headers],
      [wrong, {}],
    ] as const) {
      const { status, text } = await sendBy(route, way, params, more)
      expect(status, `${route.name}, once more: ${text}`).toBeLessThan(500)
    }
  }
  /** All the requests at once while something does not answer; the door answers each, whatever it is. */
  const goDuring = async (fault: (sent: () => void) => Promise<void>): Promise<number[]> => {
    const prepared = await Promise.all(
      secretRoutes.map(async (route) => ({ route, way: await ways[route.name]!(world) })),
    )
    const { promise, resolve } = Promise.withResolvers<number[]>()
    await fault(() => {
      resolve(Promise.all(prepared.map(async ({ route, way }) => (await sendBy(route, way)).status)))
    })
    return promise
  }

  beforeAll(async () => {
    const { dir } = await labEngines()
    const env = { HORCRUX_LOG_LEVEL: 'trace', HORCRUX_ADMIN_PASSWORD: '', HORCRUX_ALLOWED_PATHS: dir }
    horcrux = await startDeployment({ env, signIn: firstSignIn })
    world.root = horcrux.token
    someone = await person(world)
    world.vm = await makeVm(world, labHosts[0]!)
    world.container = await makeContainer(world)
    followers.push(
      ...(['ws', 'sse'] as const).map((medium) => follow(medium, medium, { url, token: horcrux.token, from: 0 })),
    )
  })
  afterAll(async () => {
    const stopping = { token: world?.root ?? '', headers: { prefer: 'wait=60' } }
    processes.stop()
    await Promise.all(followers.map((follower) => follower.stop()))
    if (world?.vm) await recorder.ask(`POST /api/vms/${world.vm}/stop`, { ...stopping, json: { force: true } })
    if (world?.vm) await recorder.ask(`DELETE /api/vms/${world.vm}?purge=true`, stopping)
    if (world?.container) await recorder.ask(`DELETE /api/containers/${world.container}?force=true`, stopping)
    await horcrux?.stop()
  })

  test.for(secretRoutes.filter(({ name }) => name !== 'auth.setup'))('$name is used well and badly', async (route) => {
    const way = await ways[route.name]!(world)
    await goWrong(route, way)
    await goWell(route, way)
  })

  test('an operation with a secret fails, and one is cancelled', async () => {
    const register = secretRoutes.find(({ name }) => name === 'nodes.register')!
    for (const way of failing(world)) await goWell(register, way)
  })

  test('storage pools whose server is away take their secrets with them', async () => {
    const create = secretRoutes.find(({ name }) => name === 'pools.create')!
    for (const way of poolsElsewhere(world)) {
      const { status, text } = await sendBy(create, way)
      expect(status, text).toBeGreaterThanOrEqual(400)
    }
  })

  test('WebSockets are opened with tickets and tokens, right ones and wrong ones', async () => {
    const { body } = await recorder.ask('POST /api/auth/ws-ticket', { token: world.root })
    const query = `?ticket=${String(body['ticket'])}`
    const socket = await openSocket(url, { query, first: { token: canaries.make('a token in a message') } })
    expect(JSON.stringify(await socket.next('Error'))).not.toContain('C4nary')
    socket.send(`{"token": ${canaries.make('a broken message')}}`)
    socket.send({ token: world.root, topics: ['operations'] })
    await socket.next('Subscribed')
    expect(canaries.leaksIn('a WebSocket', JSON.stringify(socket.received))).toEqual([])
    socket.socket.close()
    for (const ticket of [String(body['ticket']), canaries.make('a wrong ticket')])
      await expect(openSocket(url, { query: `?ticket=${ticket}` })).rejects.toThrow('401')
    await recorder.ask(`GET /api/console/${world.vm}/websocket?ticket=${canaries.make('a ticket of a console')}`)
    await recorder.ask(`GET /api/events?topics=operations&token=${canaries.make('a token in the address of SSE')}`)
  })

  test('the services are killed in mid-call', async () => {
    const struck = horcrux.services.filter(({ name }) => /^(auth|cluster)-/.test(name))
    const statuses = await goDuring(async (send) => {
      for (const part of struck) part.signal('SIGSTOP')
      send()
      await delay(500)
      await Promise.all(struck.map((part) => part.kill()))
      await Promise.all(struck.map((part) => part.start()))
    })
    expect(statuses).toContain(503)
    await until(async () => (await recorder.ask('GET /readyz')).status === 200, { what: 'readiness' })
  })

  test.skipIf(!hasOwnStore)('the store is down', async () => {
    const statuses = await goDuring(async (send) => {
      await horcrux.store.kill()
      send()
      await delay(1000)
      await horcrux.store.start()
    })
    expect(new Set(statuses)).toContain(503)
    await until(async () => (await recorder.ask('GET /api/vms', { token: world.root })).status < 500)
  })

  describe('then', () => {
    let places: Places
    const leaksIn = (wanted: RegExp) =>
      Object.entries(places).flatMap(([place, text]) => (wanted.test(place) ? canaries.leaksIn(place, text) : []))
    /** What is no secret and has to be there, or nobody has looked. */
    const expectTrace = (wanted: RegExp, trace: string) => {
      const texts = Object.entries(places).flatMap(([place, text]) => (wanted.test(place) ? [text] : []))
      expect(texts.join('\n')).toContain(trace)
    }

    beforeAll(async () => {
      const { env, dir } = horcrux
      const someNode = /"(node-[0-9a-f]{8})"/.exec(recorder.answers.map(({ answer }) => answer.text).join('\n'))![1]!
      await until(() => followers.every(({ seen }) => JSON.stringify(seen).includes(someNode)), { what: 'the events' })
      // What only the test and its deployment know; it is in none of the requests.
      for (const name of ['HORCRUX_JWT_SECRET', 'HORCRUX_SECRET_KEY']) canaries.learn(name, env[name]!)
      canaries.learn("the store's password", new URL(env['MONGODB_URL']!).password)
      canaries.learn('the key of the whole bus', await wholeKey(dir))
      const nats = await horcrux.connect()
      places = {
        ...(await recordsOf(recorder, horcrux.token)),
        ...(await streamsOf(nats)),
        ...(await filesOf(horcrux)),
        ...logsOf(horcrux),
        ...Object.fromEntries(followers.map(({ name, seen }) => [`events over ${name}`, JSON.stringify(seen)])),
        ...processes.stop(),
      }
      await nats.close()
      process.stdout.write(
        `${canaries.count()} secrets, ${recorder.answers.length} answers, ${Object.keys(places).length} places with ` +
          `${Math.round(Object.values(places).reduce((sum, { length }) => sum + length, 0) / 2 ** 20)} MiB\n`,
      )
    })

    test('no log has one', () => {
      expectTrace(/^the log of gateway/, someone.username)
      expectTrace(/^the log of auth/, 'auth is up')
      // That the token of the first start is in there is the one way to come by it.
      const setup = canaries.leaksIn('', world.setupToken).length
      expect(setup).toBe(1)
      expect(
        leaksIn(/^the log of /).filter((leak) => !leak.startsWith('the set-up token is in the log of auth')),
      ).toEqual([])
    })

    test('no answer has one, except the answers that exist to hand it out', () => {
      expect(recorder.answers.length).toBeGreaterThan(200)
      expect(recorder.leaks()).toEqual([])
    })

    test('no event has one', () => {
      expectTrace(/^the stream /, 'nodes.register')
      expectTrace(/^events over ws/, 'nodes.register')
      expectTrace(/^events over sse/, 'nodes.register')
      expect(leaksIn(/^(the stream|events over) /)).toEqual([])
    })

    test('no record of the audit has one', () => {
      expectTrace(/^the audit$/, someone.username)
      expectTrace(/^the audit's export$/, someone.username)
      expect(leaksIn(/^the audit/)).toEqual([])
    })

    test('no operation and no log of one has one', () => {
      expectTrace(/^the operations/, 'nodes.register')
      expect(leaksIn(/^the operations/)).toEqual([])
    })

    test('the store and the bus have none in clear on the disk', () => {
      expectTrace(/^the file store\//, someone.username)
      expectTrace(/^the file jetstream\//, 'nodes.register')
      expect(leaksIn(/^the file /)).toEqual([])
    })

    test('no process has one in its arguments, and services have only their own in their environment', () => {
      expectTrace(/^the arguments/, 'services/auth/main.ts')
      const ofService = /^the environment of .*services\/\w+\/main\.ts/
      expectTrace(ofService, horcrux.env['HORCRUX_JWT_SECRET']!)
      const byDesign = ['HORCRUX_JWT_SECRET', 'HORCRUX_SECRET_KEY', "the store's password"]
      const leaks = leaksIn(/^the (arguments|environment) of /).filter((leak) => {
        const [what, place] = leak.split(' is in ') as [string, string]
        return !(byDesign.includes(what) && ofService.test(place))
      })
      expect(leaks).toEqual([])
    })
  })
})
