/**
 * A host's connection that heals itself: opened at the first use, opened again when it is lost. While it is down every
 * call fails at once with the cause, so that a dead host costs its callers nothing.
 */
import { UnavailableError } from '#shared/errors.ts'
import {
  beginConnection,
  defaultLimits,
  doesNotAnswer,
  type Connection,
  type Libvirt,
  type Limits,
} from './connection.ts'
import type { DomainEvent, EventKind } from '../worker/events.ts'

export type HostEvent =
  | DomainEvent
  /** Events arrive from now on; those of before may be missing: read all states. Sent after every (re)connect. */
  | { kind: 'connected' }
  | { kind: 'disconnected'; error: UnavailableError }

export type HostConnectionOptions = Partial<Limits> & {
  /** The host's name, for messages. */
  host: string
  /**
   * The URI to open, asked before every attempt: for a host behind SSH, the caller forwards the remote libvirt socket
   * to a local one and answers `qemu+unix:///system?socket=/path`.
   */
  resolveUri: () => Promise<string>
}

export type HostConnection = Libvirt & {
  /**
   * Subscribes to events of these kinds and to the connection's ups and downs; connects at once.
   * @returns a function that ends the subscription
   */
  subscribe(kinds: readonly EventKind[], listener: (news: HostEvent) => void): () => void
  /** True while calls can be answered. */
  isConnected(): boolean
  /** Lends a session for a call that works with two hosts; see Connection.lend. @throws UnavailableError */
  lend: Connection['lend']
  /** Ends it for good. Takes half a second at most. */
  close(): Promise<void>
}

type State =
  | { is: 'new' }
  | { is: 'connecting'; connection: Promise<Connection> }
  | { is: 'connected'; connection: Connection }
  | { is: 'down' | 'closed'; error: UnavailableError }

const firstDelayMs = 500
const longestDelayMs = 10_000

/** Doubles from 0.5 s to 10 s. @param failures consecutive ones so far */
export const backOffMs = (failures: number): number =>
  Math.min(longestDelayMs, firstDelayMs * 2 ** Math.min(failures, 10))

/** Makes the connection of a host. Nothing is opened yet. */
export const hostConnection = ({ host, resolveUri, ...given }: HostConnectionOptions): HostConnection => {
  const limits = { ...defaultLimits, ...given }
  const subscribers = new Map<(news: HostEvent) => void, readonly EventKind[]>()
  let state: State = { is: 'new' }
  let failures = 0
  let retry: NodeJS.Timeout | undefined
  let opening: ReturnType<typeof beginConnection> | undefined

  const tell = (news: HostEvent) => {
    for (const [listener, kinds] of subscribers) {
      const isWanted = news.kind === 'connected' || news.kind === 'disconnected' || kinds.includes(news.kind)
      if (isWanted) listener(news)
    }
  }
  const kindsWanted = () => [...new Set([...subscribers.values()].flat())]
  const isClosed = () => state.is === 'closed'
  const refuseIfClosed = () => {
    if (state.is === 'closed') throw state.error
  }

  const goDown = (error: UnavailableError) => {
    if (isClosed()) return
    const wasConnected = state.is === 'connected'
    state = { is: 'down', error }
    retry = setTimeout(connect, backOffMs(failures)).unref()
    if (wasConnected) tell({ kind: 'disconnected', error })
  }

  /** Opens a connection and has it deliver events; until then its end is a failure of this, not a disconnect. */
  const open = async (): Promise<Connection> => {
    let arrived: Connection | undefined
    const onClose = (error: UnavailableError) => {
      if (arrived) goDown(error)
    }
    const uri = await resolveUri()
    refuseIfClosed()
    opening = beginConnection(uri, { host, ...limits, onClose, onEvent: tell })
    const connection = await opening.connection
    try {
      let kinds: EventKind[]
      do {
        kinds = kindsWanted()
        await connection.listen(kinds)
      } while (kindsWanted().length > kinds.length)
      refuseIfClosed()
    } catch (error) {
      await connection.close()
      throw error
    }
    arrived = connection
    failures = 0
    state = { is: 'connected', connection }
    tell({ kind: 'connected' })
    return connection
  }

  const connect = () => {
    const late = Promise.withResolvers<never>()
    // An open that hangs is not given up: a second one would hang as well, and this one ends when the daemon answers.
    const timer = setTimeout(() => {
      const error = doesNotAnswer(host, limits.timeoutMs)
      opening?.abandon()
      if (!isClosed()) state = { is: 'down', error }
      late.reject(error)
    }, limits.timeoutMs)
    const attempt = async () => {
      try {
        return await open()
      } catch (cause) {
        const error = cause instanceof UnavailableError ? cause : unreachable(host, cause)
        goDown(error)
        failures++
        throw error
      } finally {
        clearTimeout(timer)
      }
    }
    const connection = Promise.race([attempt(), late.promise])
    connection.catch(() => {}) // later calls fail by the state
    // Only the first attempt is waited for: later ones are made while calls fail at once.
    if (state.is === 'new') state = { is: 'connecting', connection }
  }

  const greet = async (connection: Connection, kinds: readonly EventKind[], listener: (news: HostEvent) => void) => {
    try {
      await connection.listen(kinds)
      if (subscribers.has(listener)) listener({ kind: 'connected' })
    } catch {
      // The connection is lost; its successor will listen for this subscriber too.
    }
  }

  /** The present connection, or the first one once it is there. */
  const present = async (): Promise<Connection> => {
    if (state.is === 'new') connect()
    if (state.is === 'connected' || state.is === 'connecting') return state.connection
    throw 'error' in state ? state.error : unreachable(host, 'not connected')
  }

  return {
    host,
    async call(operation, args, options) {
      let connection: Connection
      try {
        connection = await present()
      } catch (error) {
        options?.onEnd?.()
        throw error
      }
      return connection.call(operation, args, options)
    },
    lend: async (onLost) => (await present()).lend(onLost),
    subscribe(kinds, listener) {
      subscribers.set(listener, kinds)
      if (state.is === 'new') connect()
      else if (state.is === 'connected') void greet(state.connection, kinds, listener)
      return () => subscribers.delete(listener)
    },
    isConnected: () => state.is === 'connected',
    async close() {
      const before = state
      state = {
        is: 'closed',
        error: new UnavailableError(`Host '${host}': the connection was closed`, { details: { host } }),
      }
      clearTimeout(retry)
      opening?.abort()
      if (before.is === 'connected') await before.connection.close()
    },
  }
}

const unreachable = (host: string, cause: unknown) =>
  new UnavailableError(`Cannot reach host '${host}': ${cause instanceof Error ? cause.message : String(cause)}`, {
    details: { host },
    cause,
  })
