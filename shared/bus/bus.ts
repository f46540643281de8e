import { isDeepStrictEqual } from 'node:util'
import {
  connect,
  Events,
  type JetStreamClient,
  type JetStreamManager,
  type Msg,
  nanos,
  NatsError,
  type NatsConnection,
  type StreamConfig,
} from 'nats'
import { UnavailableError } from '#shared/errors.ts'
import { connectionOf } from '#shared/bus/identity/connection.ts'
import { memberOf, wholeName } from '#shared/bus/identity/service-permissions.ts'
import { streams, streamsSubject } from '#shared/bus/identity/subjects.ts'
import { log } from '#shared/runtime/log.ts'

export { streams }

const hours = 3_600_000

/** Events are kept for 24 h; the same message id within that time is the same event. */
const eventStream = {
  name: streams.events,
  subjects: ['horcrux.events.>'],
  max_age: nanos(24 * hours),
  duplicate_window: nanos(24 * hours),
}

/** What waits to be worked on. The store is the truth; a message only says "look at this operation". */
const workStream = {
  name: streams.work,
  subjects: ['horcrux.work.>'],
  retention: 'workqueue',
  duplicate_window: nanos(60_000),
}

export type Bus = {
  nats: NatsConnection
  jetStream: JetStreamClient
  manager: () => Promise<JetStreamManager>
  /** Whether it is this process that makes the streams; the others ask. */
  keepsStreams: boolean
}

let connected: Bus | undefined
/** When the connection was made, or made again; null while it is broken. */
let connectedAt: number | null = null

/** What is asked of the bus. @throws UnavailableError when it does not answer */
export async function onBus<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof NatsError)) throw error
    throw new UnavailableError('The message bus does not answer', { retryAfterSeconds: 2, cause: error })
  }
}

/** Connects this process to NATS with its identity, and has the streams made. NATS may come and go. */
export async function connectBus(name: string): Promise<Bus> {
  const nats = await connect(connectionOf(name)).catch((error: unknown) => {
    if (!(error instanceof NatsError) || !error.isAuthError()) throw error
    throw new Error(`NATS does not take this process for '${name}': see NATS_URL and NATS_NKEY_FILE`, { cause: error })
  })
  connected = {
    nats,
    jetStream: nats.jetstream({ timeout: 3000 }),
    manager: () => nats.jetstreamManager({ timeout: 3000 }),
    keepsStreams: name === wholeName || memberOf(name).keepsStreams === true,
  }
  connectedAt = -Infinity
  void watch(nats)
  void tellOfEnd(nats)
  if (connected.keepsStreams) await keepStreams(connected)
  // Who makes them may not be there yet; whoever misses one asks again.
  else await ensureStreams(connected).catch(() => undefined)
  return connected
}

async function keepStreams(made: Bus): Promise<void> {
  const answer = async (message: Msg) => {
    await makeStreams(made)
    respond(message)
  }
  made.nats.subscribe(streamsSubject, {
    callback: (_, message) => {
      answer(message).catch((error: Error) => log('bus').warn({ err: error }, 'the streams could not be made'))
    },
  })
  await makeStreams(made)
}

async function watch(nats: NatsConnection): Promise<void> {
  for await (const { type, permissionContext } of nats.status()) {
    if (type === Events.Disconnect) connectedAt = null
    if (type === Events.Reconnect) connectedAt = performance.now()
    if (permissionContext) log('bus').error(permissionContext, 'NATS refuses this to the identity of the process')
  }
}

/** A connection is made again and again, unless NATS does not know the secret any more. */
async function tellOfEnd(nats: NatsConnection): Promise<void> {
  const error = await nats.closed()
  if (error) log('bus').fatal({ err: error }, 'NATS takes this process no more: start it with a secret that NATS knows')
}

/** Answers a request, where it came from an inbox: nobody shall have this process write where they may not. */
export function respond(message: Msg, data?: string): void {
  if (message.reply?.startsWith('_INBOX.')) message.respond(data)
}

/** Makes the streams if they are not there (a new or a lost JetStream folder), or has it done by who keeps them. */
export async function ensureStreams(bus: Bus): Promise<void> {
  if (bus.keepsStreams) return makeStreams(bus)
  await bus.nats.request(streamsSubject, undefined, { timeout: 3000 })
}

let making: Promise<void> | undefined

/** Many may ask at once. */
function makeStreams({ manager }: Bus): Promise<void> {
  const make = async () => {
    const streamsManager = (await manager()).streams
    for (const stream of [eventStream, workStream] as Partial<StreamConfig>[]) {
      const there = await streamsManager.info(stream.name!).catch(() => undefined)
      if (!there) await streamsManager.add(stream)
      else if (!isAs(there.config, stream)) await streamsManager.update(stream.name!, stream)
    }
  }
  return (making ??= make().finally(() => (making = undefined)))
}

/** A server that is killed while it rewrites a stream's settings makes the stream anew: nothing is rewritten without need. */
const isAs = (config: StreamConfig, wanted: Partial<StreamConfig>) =>
  Object.entries(wanted).every(([key, value]) => isDeepStrictEqual(config[key as keyof StreamConfig], value))

/** The process's connection. @throws UnavailableError when there is none */
export function bus(): Bus {
  if (!connected) throw new UnavailableError('The message bus is not connected', { retryAfterSeconds: 2 })
  return connected
}

export const isBusConnected = () => connected !== undefined && !connected.nats.isClosed() && connectedAt !== null

/** How long ago the bus came back; Infinity when it never was away, 0 while it is. Milliseconds. */
export const busIsBackForMs = () => (connectedAt === null ? 0 : performance.now() - connectedAt)

export async function disconnectBus(): Promise<void> {
  const { nats } = connected ?? {}
  connected = undefined
  await nats?.close()
}
