import {
  connect,
  Events,
  type JetStreamClient,
  type JetStreamManager,
  type Msg,
  NatsError,
  type NatsConnection,
} from 'nats'
import { UnavailableError } from '#shared/errors.ts'
import { connectionOf } from '#shared/bus/identity/connection.ts'
import { emittedBy, memberOf, wholeName } from '#shared/bus/identity/service-permissions.ts'
import type { Topic } from '#shared/contracts/core/events.ts'
import { counter, gauge } from '#shared/runtime/measures.ts'
import { log } from '#shared/runtime/log.ts'

export type Bus = {
  nats: NatsConnection
  jetStream: JetStreamClient
  manager: () => Promise<JetStreamManager>
  /** True for the process that makes the streams; the others send it a request. */
  keepsStreams: boolean
  /** The topics of the events that this process may publish; undefined: all. */
  emits: readonly Topic[] | undefined
}

let connected: Bus | undefined
const connections = counter('horcrux_bus_connection_changes', 'Connections to the bus that were lost or came back')
gauge('horcrux_bus_connected', '1 while the bus is connected', () => (isBusConnected() ? 1 : 0))
/** When the connection was made, or made again; null while it is broken. */
let connectedAt: number | null = null

/** Runs a NATS request and maps its errors. @throws UnavailableError when it does not answer */
export async function onBus<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof NatsError)) throw error
    throw new UnavailableError('The message bus does not answer', { retryAfterSeconds: 2, cause: error })
  }
}

/** Connects this process to NATS with its identity. The client reconnects for ever; {@link onBusChange} tells of it. */
export async function connectBus(name: string): Promise<Bus> {
  const nats = await connect(connectionOf(name)).catch((error: unknown) => {
    if (!(error instanceof NatsError) || !error.isAuthError()) throw error
    throw new Error(`NATS does not take this process for '${name}': see NATS_URL and NATS_NKEY_FILE`, { cause: error })
  })
  connected = {
    nats,
    jetStream: nats.jetstream({ timeout: 3000 }),
    manager: () => nats.jetstreamManager({ timeout: 3000, checkAPI: false }),
    keepsStreams: name === wholeName || memberOf(name).keepsStreams === true,
    emits: name === wholeName ? undefined : emittedBy(memberOf(name)),
  }
  connectedAt = -Infinity
  void follow(nats)
  void tellOfEnd(nats)
  return connected
}

type Change = 'lost' | 'back'
const listeners = new Set<(change: Change) => void>()

/** Calls a function each time the process's connection is lost or comes back. @returns a function that stops it */
export function onBusChange(listener: (change: Change) => void): () => void {
  listeners.add(listener)
  return () => void listeners.delete(listener)
}

/** Calls a function each time a connection is lost or comes back, for as long as the connection is not closed. */
export async function watchConnection(nats: NatsConnection, listener: (change: Change) => void): Promise<void> {
  for await (const { type, permissionContext } of nats.status()) {
    if (type === Events.Disconnect) listener('lost')
    if (type === Events.Reconnect) listener('back')
    if (permissionContext) log('bus').error(permissionContext, 'NATS refuses this to the identity of the process')
  }
}

const follow = (nats: NatsConnection) =>
  watchConnection(nats, (change) => {
    if (nats !== connected?.nats) return
    connections({ change })
    connectedAt = change === 'lost' ? null : performance.now()
    for (const listener of listeners) listener(change)
  })

/** The client reconnects for ever, except when NATS refuses the secret: then it closes the connection. */
async function tellOfEnd(nats: NatsConnection): Promise<void> {
  const error = await nats.closed()
  if (error)
    log('bus').fatal(
      { err: error },
      'NATS refuses the secret of this process and has closed its connection: start it with a secret that NATS knows',
    )
}

/**
 * Subscribes to a subject. A refusal by NATS, which the client hands to the callback in place of a message, is logged by
 * {@link watchConnection}. An error of the listener is logged: thrown within the client's reader, it ends the connection.
 * @param refused called when NATS refuses the subscription
 * @returns a function that ends it
 */
export function listen(
  subject: string,
  listener: (message: Msg) => unknown,
  refused: (error: NatsError) => void = () => undefined,
): () => void {
  const callback = (error: NatsError | null, message: Msg) => {
    if (error) return refused(error)
    try {
      listener(message)
    } catch (problem) {
      log('bus').error({ err: problem as Error, subject: message.subject }, 'a message could not be handled')
    }
  }
  const subscription = bus().nats.subscribe(subject, { callback })
  return () => subscription.unsubscribe()
}

/** Requests an answer of a moment. The request carries the time of its sending, by which a late receiver knows it. */
export const request = (subject: string, timeoutMs: number): Promise<Msg> =>
  bus().nats.request(subject, String(Date.now()), { timeout: timeoutMs })

/** NATS takes the answer to a request for 5 s (identity/allowed.ts), and the clocks of hosts differ by less than a second. */
const answeredWithinMs = 3000

/**
 * Answers a {@link request}. A process that was stopped does not answer old ones: nobody waits for them, and NATS would
 * refuse each. Replies only to `_INBOX` subjects, so that a forged reply subject cannot make this process publish elsewhere.
 */
export function respond(message: Msg, data?: string): void {
  // An earlier version sends no time.
  const sentAt = Number(message.string()) || Date.now()
  if (Date.now() - sentAt > answeredWithinMs) return
  if (message.reply?.startsWith('_INBOX.')) message.respond(data)
}

/** The process's connection. @throws UnavailableError when there is none */
export function bus(): Bus {
  if (!connected) throw new UnavailableError('The message bus is not connected', { retryAfterSeconds: 2 })
  return connected
}

export const isBusConnected = () => connected !== undefined && !connected.nats.isClosed() && connectedAt !== null

/** Time since the bus came back. Infinity if it was never away, 0 while it is away. Milliseconds. */
export const busIsBackForMs = () => (connectedAt === null ? 0 : performance.now() - connectedAt)

/** After the bus was away, another process may take this long to be back on it. Milliseconds. */
const settledMs = 2000

/**
 * True once all other processes have had the time to reconnect, so that a missing answer of one is evidence. False
 * while the bus is away.
 */
export const isBusSettled = () => busIsBackForMs() >= settledMs

/** True while this process is connected, but others may not be connected yet: messages to them may be lost. */
export const isBusJustBack = () => connectedAt !== null && !isBusSettled()

export async function disconnectBus(): Promise<void> {
  const { nats } = connected ?? {}
  connected = undefined
  await nats?.close()
}
