import { Agent, request } from 'node:http'
import { auth } from '#shared/contracts/access/auth.ts'
import { users } from '#shared/contracts/access/users.ts'
import { authService } from '../services/auth/service.ts'
import { createGateway } from '../services/gateway/service.ts'
import { type Person, signIn } from '../test/lab/people/auth.ts'
import { things, thingsService } from '../test/lab/product/things.ts'
import { startHorcrux, type TestHorcrux } from '../test/lab/product/horcrux.ts'
import { timed } from './demand.ts'
import { median, type Row } from './figures.ts'

const rounds = 60
const perRound = 200
const password = 'Sonnenblume-7'

const meanOf = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length

type Headers = Record<string, string>

/** One request after the other over one connection. @returns the microseconds of one, median and mean */
async function asked(agent: Agent, url: string, headers: Headers): Promise<{ middle: number; mean: number }> {
  const times: number[] = []
  for (let index = 0; index < perRound; index++) {
    const begin = performance.now()
    const { promise, resolve, reject } = Promise.withResolvers<number>()
    request(url, { agent, headers }, (answer) => {
      answer.resume()
      answer.on('end', () => resolve(answer.statusCode!))
    })
      .on('error', reject)
      .end()
    const status = await promise
    if (status !== 200) throw new Error(`${url} was answered ${status}`)
    times.push((performance.now() - begin) * 1000)
  }
  return { middle: median(times), mean: meanOf(times) }
}

/** Sign-ins with a wrong password: names that exist against names that do not, each pair in turn. @returns their ratio */
async function wrongSignIns(horcrux: TestHorcrux, root: Person): Promise<number> {
  const known = Array.from({ length: 6 }, (_, number) => `clock-${number}`)
  for (const username of known) await root.call(users, 'create', { username, password })
  const refused = (username: string, from: string) =>
    timed(async () => {
      const meta = { caller: { kind: 'anonymous', address: from } as const }
      await horcrux.call(auth, 'login', { username, password: 'wrong' }, meta).catch(() => undefined)
    })
  const ratios: number[] = []
  // Nine tries each: a tenth is slowed down.
  for (let round = 0; round < 9; round++)
    for (const [index, username] of known.entries()) {
      const from = `203.0.${round}.${index}`
      ratios.push((await refused(username, from)) / (await refused(`ghost-${index}`, from)))
    }
  return median(ratios)
}

/**
 * Cost of identifying the caller of a request: the same route without credential, with a token and with an API key, in
 * turn.
 */
export async function benchAuth(): Promise<Row[]> {
  const gateway = createGateway([auth, users, things])
  const horcrux = await startHorcrux({
    services: [authService, thingsService, gateway],
    config: { port: 0, rateLimit: 0, loginLimit: 0, adminPassword: password },
  })
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  try {
    const root = await signIn(horcrux, 'admin', password)
    const { key } = await root.call(users, 'createKey', { username: 'admin', name: 'bench' })
    const ways: Record<string, Headers> = {
      nobody: {},
      jwt: { authorization: `Bearer ${root.token}` },
      key: { 'x-api-key': key },
    }
    const url = `${gateway.url()}/api/hello`
    for (const [name, headers] of Object.entries(ways)) {
      const { user } = (await (await fetch(url, { headers })).json()) as { user: string }
      if (user !== (name === 'nobody' ? 'anonymous' : 'admin')) throw new Error(`${name} was taken for ${user}`)
      await asked(agent, url, headers)
    }
    const found: Record<string, Awaited<ReturnType<typeof asked>>[]> = { nobody: [], jwt: [], key: [] }
    // Each round has all three, so that what else the machine does falls on all of them.
    for (let round = 0; round < rounds; round++)
      for (const [name, headers] of Object.entries(ways)) found[name]!.push(await asked(agent, url, headers))
    const over = (name: string, of: 'middle' | 'mean') =>
      found[name]!.map((one, round) => one[of] - found['nobody']![round]![of])
    return [
      { what: 'a request of nobody, median', value: median(found['nobody']!.map(({ middle }) => middle)), unit: 'µs' },
      { what: 'a JWT costs beside that', value: median(over('jwt', 'middle')), unit: 'µs', below: 50 },
      { what: 'a cached API key costs beside that', value: median(over('key', 'middle')), unit: 'µs', below: 50 },
      // With the moment once a second in which the auth service is asked anew, and with all that disturbs.
      { what: 'a JWT, mean of all rounds', value: meanOf(over('jwt', 'mean')), unit: 'µs' },
      { what: 'a cached API key, mean of all rounds', value: meanOf(over('key', 'mean')), unit: 'µs' },
      {
        what: 'a wrong sign-in: a name that exists over one that does not, off 1 by',
        value: Math.abs((await wrongSignIns(horcrux, root)) - 1),
        unit: '',
        below: 0.05,
      },
    ]
  } finally {
    agent.destroy()
    await horcrux.stop()
  }
}
