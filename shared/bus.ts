import { isDeepStrictEqual } from 'node:util'
import {
  connect,
  Events,
  type JetStreamClient,
  type JetStreamManager,
  nanos,
  type NatsConnection,
  type StreamConfig,
} from 'nats'
import { config } from '#shared/config.ts'
import { UnavailableError } from '#shared/errors.ts'

const hours = 3_600_000

/** Events are kept for 24 h; the same message id within that time is the same event. */
const eventStream = {
  name: 'horcrux-events',
  subjects: ['horcrux.events.>'],
  max_age: nanos(24 * hours),
  duplicate_window: nanos(24 * hours),
}

/** What waits to be worked on. The store is the truth; a message only says "look at this operation". */
const workStream = {
  name: 'horcrux-work',
  subjects: ['horcrux.work.>'],
  retention: 'workqueue',
  duplicate_window: nanos(60_000),
}

export const streams = { events: eventStream.name, work: workStream.name }

export type Bus = { nats: NatsConnection; jetStream: JetStreamClient; manager: () => Promise<JetStreamManager> }

let connected: Bus | undefined
/** When the connection was made, or made again; null while it is broken. */
let connectedAt: number | null = null

/** Connects this process to NATS and makes the streams. Reconnects for ever, so that NATS may come and go. */
export async function connectBus(name: string): Promise<Bus> {
  const url = new URL(config().natsUrl ?? 'nats://127.0.0.1:4222')
  const nats = await connect({
    servers: url.host,
    user: decodeURIComponent(url.username),
    pass: decodeURIComponent(url.password),
    name,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 250,
    waitOnFirstConnect: true,
    pingInterval: 2000,
    maxPingOut: 2,
  })
  connected = {
    nats,
    jetStream: nats.jetstream({ timeout: 3000 }),
    manager: () => nats.jetstreamManager({ timeout: 3000 }),
  }
  connectedAt = -Infinity
  void watch(nats)
  await ensureStreams(connected)
  return connected
}

async function watch(nats: NatsConnection): Promise<void> {
  for await (const { type } of nats.status()) {
    if (type === Events.Disconnect) connectedAt = null
    if (type === Events.Reconnect) connectedAt = performance.now()
  }
}

/** Makes the streams if they are not there (a new or a lost JetStream folder). */
export async function ensureStreams({ manager }: Bus): Promise<void> {
  const streamsManager = (await manager()).streams
  for (const stream of [eventStream, workStream] as Partial<StreamConfig>[]) {
    const there = await streamsManager.info(stream.name!).catch(() => undefined)
    if (!there) await streamsManager.add(stream)
    else if (!isAs(there.config, stream)) await streamsManager.update(stream.name!, stream)
  }
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
