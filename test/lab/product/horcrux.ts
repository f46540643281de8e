import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ServiceBroker } from 'moleculer'
import type { Caller } from '#shared/access/access.ts'
import { type Meta, send } from '#shared/bus/call.ts'
import { type Config, setConfig } from '#shared/config/config.ts'
import type { Contract, Params, Result } from '#shared/contract/contract.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { memberOf, wholeName } from '#shared/bus/identity/service-permissions.ts'
import type { StepObserver } from '#shared/operation/observe.ts'
import { type Service, startServices } from '#shared/service/start.ts'
import { authService } from '../../../services/auth/service.ts'
import { startNats } from '../bus/nats.ts'
import { repository } from '../repository.ts'
import { startStore } from './store.ts'
import { until } from '../wait.ts'

type Options = {
  services: Service[]
  config?: Partial<Config>
  /** False: this process works on operations only between a call of `work` and a call of the function it returns. */
  works?: boolean
  /** Called at each place of each step of an operation. */
  observe?: StepObserver
}
type CallOptions = { caller?: Caller; meta?: Meta; timeoutMs?: number }

/** Services in this process on a bus and a store of their own. */
export type TestHorcrux = {
  /** Everything it keeps; removed by `stop`. */
  dir: string
  broker: ServiceBroker
  /** The environment in which another process (`node services/auth/main.ts`) joins in. */
  env: Record<string, string>
  /** An action over the bus; as a service with all rights unless a caller is given. */
  call: <C extends Contract, K extends keyof C['actions'] & string>(
    contract: C,
    action: K,
    params: Params<C, K> | Record<string, unknown>,
    options?: CallOptions,
  ) => Promise<Result<C, K>>
  /** Another replica of a service, as a process of its own; ready when it is on the bus. */
  startReplica: (service: string) => Promise<Replica>
  /** Begins to work on operations. @returns a function that ends the work */
  work: () => () => Promise<void>
  stop: () => Promise<void>
}

/** A process of its own; calls reach just it by its node id. */
export type Replica = { nodeId: string; kill: () => Promise<void> }

const tester: Caller = { kind: 'service', name: 'test' }

/** Starts nats-server, a store and these services, with nothing in common with any other run. */
export async function startHorcrux({ services, config = {}, works = true, observe }: Options): Promise<TestHorcrux> {
  const dir = await mkdtemp(join(tmpdir(), 'horcrux-in-process-'))
  const undo: (() => unknown)[] = [() => rm(dir, { recursive: true, force: true })]
  const stop = async () => {
    for (const step of undo.splice(0).toReversed()) await step()
  }
  try {
    const nats = await startNats(join(dir, 'nats'))
    undo.push(nats.stop)
    const store = await startStore()
    undo.push(store.stop)
    const mongodbUrl = store.url('horcrux')
    const natsUrl = nats.url.replace('://', `://${nats.user}:${nats.password}@`)
    const secrets = { jwtSecret: randomBytes(32).toString('hex'), secretKey: randomBytes(32).toString('hex') }
    const made = {
      dataDir: dir,
      natsUrl,
      mongodbUrl,
      logLevel: 'silent' as const,
      metricsPort: 0,
      ...secrets,
      ...config,
    }
    setConfig(made)
    const running = await startServices(wholeName, withRights(services), { works, observe })
    undo.push(running.stop)
    const env = {
      HORCRUX_DATA: dir,
      NATS_URL: natsUrl,
      MONGODB_URL: mongodbUrl,
      HORCRUX_JWT_SECRET: secrets.jwtSecret,
      HORCRUX_SECRET_KEY: secrets.secretKey,
      HORCRUX_METRICS_PORT: '0',
      HORCRUX_LOG_LEVEL: 'warn',
    }
    const { broker } = running
    return {
      dir,
      broker,
      env,
      work: running.work,
      stop,
      call: callOn(broker),
      startReplica: (service) => startReplica(broker, service, env, undo),
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** A deletion removes grants: a service of resources with grants needs the auth service beside it. */
const withRights = (services: Service[]): Service[] =>
  services.some(({ serves }) => serves.some(({ name }) => name === 'auth')) ||
  !services.some(({ name }) => keepsGrants.has(name))
    ? services
    : [authService, ...services]
const keepsGrants = new Set(['vm', 'storage', 'cluster', 'container'])

export const callOn =
  (broker: ServiceBroker): TestHorcrux['call'] =>
  async (contract, action, params, { caller = tester, meta = {}, timeoutMs } = {}) =>
    // The contract's own type of the result. Cookies and the like are put into the given meta.
    (await send(
      broker,
      `${contract.name}.${action}`,
      params,
      Object.assign(meta, { caller, requestId: meta.requestId ?? 'test' }),
      timeoutMs,
    )) as never

async function startReplica(
  broker: ServiceBroker,
  service: string,
  env: Record<string, string>,
  undo: (() => unknown)[],
): Promise<Replica> {
  const nodes = () =>
    (broker.registry.getNodeList({ onlyAvailable: true, withServices: false }) as { id: string }[]).filter(({ id }) =>
      id.startsWith(`${service}.`),
    )
  const before = new Set(nodes().map(({ id }) => id))
  const words = ['--pdeathsig', 'KILL', process.execPath, join(repository, `services/${service}/main.ts`)]
  const replica = await localHost().spawn('setpriv', words, { env })
  replica.stdout.resume()
  const kill = async () => void (await replica.kill())
  undo.push(kill)
  const died = replica.exit.then(({ stderr }) => Promise.reject(new Error(`${service} ended: ${stderr}`)))
  died.catch(() => undefined)
  const arrived = until(() => nodes().find(({ id }) => !before.has(id)), { what: `a replica of ${service}` })
  const { id: nodeId } = await Promise.race([died, arrived])
  await broker.waitForServices(
    memberOf(service).serves.map(({ name }) => ({ name })),
    60_000,
  )
  return { nodeId, kill }
}
