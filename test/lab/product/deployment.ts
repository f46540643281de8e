import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type NatsConnection, nkeyAuthenticator } from 'nats'
import { nodeFlags, storeProgram } from '@horcrux/embedded-store/process'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { authorization, keepKeys, keyFile } from '#shared/bus/identity/keys.ts'
import { memberNames, wholeName } from '#shared/bus/identity/service-permissions.ts'
import { freePort } from '#shared/platform/data-folder.ts'
import { ask } from '../clients/http.ts'
import { repository } from '../repository.ts'
import { type Part, partOf } from './child-process.ts'
import { otherServer, startStore, type TestedStore } from './store.ts'
import { until } from '../wait.ts'

const password = 'Sonnenblume-7'
const kinds = memberNames.filter((name) => name !== 'gateway')

/** Whether a deployment has a store of its own, which tests may kill. */
export const hasOwnStore = otherServer === undefined

/**
 * Horcrux as many processes: bus, store, and so many replicas of every service, each to be killed and started again. Each
 * has its own identity on the bus, and no other.
 */
export type Deployment = {
  dir: string
  env: Record<string, string>
  nats: Part
  /** @throws when it is the one of MONGODB_URL, which is not ours to kill, see `hasOwnStore` */
  readonly store: Part
  /** All replicas of all services, without the gateways. */
  services: Part[]
  gateways: (Part & { url: string })[]
  /** A token of admin. */
  token: string
  /** A connection to the bus that may do everything. */
  connect: () => Promise<NatsConnection>
  /** JetStream's folder. */
  jetStreamDir: string
  stop: () => Promise<void>
}

type Wanted = {
  replicas?: number
  gateways?: number
  /** Beside and instead of the usual settings of the services. */
  env?: Record<string, string>
  /** The program of a service, instead of its `main.ts`, and its words. */
  program?: (name: string) => string[]
  /** How the first user comes to a token, given a gateway and the services. */
  signIn?: (url: string, services: Part[]) => Promise<string>
}

const asConfigured = async (url: string): Promise<string> =>
  String((await ask(url, 'POST /api/auth/login', { json: { username: 'admin', password } })).body['token'])

export async function startDeployment({
  replicas = 1,
  gateways = 1,
  env: extra = {},
  program = mainOf,
  signIn = asConfigured,
}: Wanted = {}): Promise<Deployment> {
  const dir = await mkdtemp(join(tmpdir(), 'horcrux-deployment-'))
  const parts: Part[] = []
  let elsewhere: TestedStore | undefined
  const stop = async () => {
    await Promise.all(parts.map((part) => part.kill()))
    await elsewhere?.stop()
    await rm(dir, { recursive: true, force: true })
  }
  try {
    const bus = await busOf(dir)
    const store = hasOwnStore ? await storeOf(dir) : undefined
    if (!store) elsewhere = await startStore()
    parts.push(bus.part, ...(store ? [store.part] : []))
    await Promise.all(parts.map((part) => part.start()))
    const env = {
      HORCRUX_DATA: dir,
      NATS_URL: bus.url,
      MONGODB_URL: store?.url ?? elsewhere!.url('horcrux'),
      HORCRUX_JWT_SECRET: randomBytes(32).toString('hex'),
      HORCRUX_SECRET_KEY: randomBytes(32).toString('hex'),
      HORCRUX_ADMIN_PASSWORD: password,
      HORCRUX_RATE_LIMIT: '0',
      HORCRUX_LOGIN_LIMIT: '0',
      HORCRUX_METRICS_PORT: '0',
      HORCRUX_LOG_LEVEL: 'info',
      ...extra,
    }
    const services = kinds.flatMap((name) =>
      Array.from({ length: replicas }, (_, n) => serviceOf(name, n, env, program)),
    )
    const doors = await Promise.all(Array.from({ length: gateways }, (_, n) => gatewayOf(n, env)))
    parts.push(...services, ...doors)
    await Promise.all([...services, ...doors].map((part) => part.start()))
    const { url } = doors[0]!
    for (const door of doors)
      await until(async () => (await ask(door.url, 'GET /readyz')).status === 200, { what: `${door.name} to be ready` })
    const token = await signIn(url, services)
    const jetStreamDir = join(dir, 'jetstream')
    return {
      dir,
      env,
      nats: bus.part,
      get store() {
        if (!store) throw new Error('The store is that of MONGODB_URL')
        return store.part
      },
      services,
      gateways: doors,
      token,
      connect: () => connectWhole(dir, bus.url),
      jetStreamDir,
      stop,
    }
  } catch (error) {
    const said = parts.map(({ name, said: lines }) => `${name}: ${lines().slice(-5).join('\n')}`).join('\n')
    await stop()
    throw new Error(`The deployment did not come up:\n${said}`, { cause: error })
  }
}

/** Where the identities' secrets of a deployment are. */
export const keysIn = (dir: string) => join(dir, 'identities')

async function busOf(dir: string): Promise<{ part: Part; url: string }> {
  const publicKeys = await keepKeys(localHost(), keysIn(dir))
  const port = await freePort(0)
  const conf = join(dir, 'nats.conf')
  const settings = {
    listen: `127.0.0.1:${port}`,
    max_payload: 8 * 2 ** 20,
    jetstream: { store_dir: join(dir, 'jetstream') },
    authorization: authorization(publicKeys),
  }
  await writeFile(conf, JSON.stringify(settings), { mode: 0o600 })
  const url = `nats://127.0.0.1:${port}`
  const ready = async () => {
    const nats = await connectWhole(dir, url)
    try {
      await (await nats.jetstreamManager()).getAccountInfo()
      return true
    } finally {
      await nats.close()
    }
  }
  const part = partOf({ name: 'nats', words: ['nats-server', '-c', conf], ready })
  return { part, url }
}

/** The secret of the identity that may do everything. */
export const wholeKey = async (dir: string) => (await readFile(keyFile(keysIn(dir), wholeName), 'utf8')).trim()

const connectWhole = async (dir: string, url: string) =>
  connect({ servers: new URL(url).host, authenticator: nkeyAuthenticator(Buffer.from(await wholeKey(dir))) })

async function storeOf(dir: string): Promise<{ part: Part; url: string }> {
  const port = await freePort(0)
  const [user, secret] = ['horcrux', randomBytes(16).toString('hex')]
  const folder = join(dir, 'store')
  await mkdir(folder, { mode: 0o700 })
  const part = partOf({
    name: 'store',
    words: [process.execPath, ...nodeFlags, storeProgram],
    input: `${JSON.stringify({ folder, host: '127.0.0.1', port, user, password: secret })}\n`,
    ready: (lines) => lines.some((line) => line.includes('"port"')),
  })
  return { part, url: `mongodb://${user}:${secret}@127.0.0.1:${port}/horcrux?authSource=admin&directConnection=true` }
}

const mainOf = (name: string) => [join(repository, `services/${name}/main.ts`)]

function serviceOf(name: string, number: number, env: Record<string, string>, program = mainOf): Part {
  const words = [process.execPath, '--disable-warning=ExperimentalWarning', ...program(name)]
  const ready = (lines: string[]) => lines.some((line) => line.includes(`${name} is up`))
  const own = { ...env, NATS_NKEY_FILE: keyFile(keysIn(env['HORCRUX_DATA']!), name) }
  return partOf({ name: `${name}-${number + 1}`, words, env: own, ready })
}

async function gatewayOf(number: number, env: Record<string, string>): Promise<Part & { url: string }> {
  const port = await freePort(0)
  const part = serviceOf('gateway', number, { ...env, HORCRUX_PORT: String(port) })
  return { ...part, url: `http://127.0.0.1:${port}` }
}
