/**
 * One virConnect, with one call on it at a time. libvirt's client library claims to share a connection between
 * threads, but before 10.4 its waiting threads write to each other's dead stack frames (CVE-2024-4418), and all but
 * the first miss that keep-alive found the daemon dead. Therefore calls that overlap use sessions of their own.
 */
import type { OperationArguments, OperationName, OperationResult } from '../worker/calls.ts'
import { leadsTo } from '../worker/abort.ts'
import { eventLoop, openPeers, type EventLoop } from '../worker/event-loop.ts'
import { eventKinds, type DomainEvent, type EventKind } from '../worker/events.ts'
import type { Failure, Pointer } from '../worker/ffi.ts'
import { run, type Outcome, type Running } from '../worker/pool.ts'

export type Session = {
  readonly conn: Pointer
  /** True while a call is under way or waits. */
  isBusy(): boolean
  /** Runs an operation, after those that were asked for before. */
  run<K extends OperationName>(operation: K, args: OperationArguments<K>): Running<OperationResult<K>>
  /** Registers for a kind of event; again for the same kind: nothing. */
  listen(kind: EventKind): Running<unknown>
  /**
   * Closes the connection once its call has ended, which on a daemon that hangs may take long. After `abandon` it keeps
   * no process alive.
   */
  release(): { isDone: Promise<void>; abandon(): void }
}

export type SessionOptions = {
  uri: string
  keepAliveSeconds: number
  onEvent?: ((event: DomainEvent) => void) | undefined
  /** The connection is dead; called once, not after release(). The failure is that of the call that found out. */
  onLost(failure?: Failure): void
}

/** Opens a session. Its outcome is the session, or why libvirt did not open. */
export const openSession = (options: SessionOptions): Running<Session> => {
  let isAbandoned = false
  let opening: Running<Pointer> | undefined
  const open = async (): Promise<Outcome<Session>> => {
    const loop = await eventLoop()
    const peer = leadsTo(options.uri)
    openPeers.add(peer)
    opening = run('open', 0n, { uri: options.uri, keepAliveSeconds: options.keepAliveSeconds })
    if (isAbandoned) opening.abandon()
    const outcome = await opening.outcome
    const forget = () => openPeers.delete(peer)
    if (outcome.ok) return { ok: true, value: establish(outcome.value, loop, options, forget) }
    forget()
    return outcome
  }
  return {
    outcome: open(),
    abandon() {
      isAbandoned = true
      opening?.abandon()
    },
  }
}

/** As {@link openSession}, which libvirt lets wait without end for a daemon that hangs; one that opens too late is closed. */
export const openSessionInTime = (options: SessionOptions, limit: { ms: number; error: () => Error }) => {
  const { outcome: opened, abandon } = openSession(options)
  const late = Promise.withResolvers<Outcome<Session>>()
  const timer = setTimeout(() => {
    late.resolve({ ok: false, bug: limit.error() })
    abandon()
    void opened.then((outcome) => outcome.ok && outcome.value.release().abandon())
  }, limit.ms)
  const outcome = Promise.race([opened, late.promise]).finally(() => clearTimeout(timer))
  return { outcome, abandon } satisfies Running<Session>
}

const establish = (conn: Pointer, loop: EventLoop, options: SessionOptions, forget: () => void): Session => {
  const registrations = new Map<EventKind, number>()
  let last: Promise<unknown> = Promise.resolve()
  let pending = 0
  let isOver = false

  const lose = (failure?: Failure) => {
    if (isOver) return
    isOver = true
    options.onLost(failure)
  }
  const id = loop.watch(conn, {
    onEvent: (event) => {
      if (!isOver) options.onEvent?.(event)
    },
    onLost: lose,
  })

  const start = <K extends OperationName>(operation: K, args: OperationArguments<K>): Running<OperationResult<K>> => {
    let running: Running<OperationResult<K>> | undefined
    let isAbandoned = false
    const inTurn = async (before: Promise<unknown>) => {
      await before
      running = run(operation, conn, args)
      if (isAbandoned) running.abandon()
      const outcome = await running.outcome
      pending--
      if (!outcome.ok && 'failure' in outcome && !outcome.alive) lose(outcome.failure)
      return outcome
    }
    pending++
    const outcome = inTurn(last)
    last = outcome
    return {
      outcome,
      abandon() {
        isAbandoned = true
        running?.abandon()
      },
    }
  }

  const giveBack = async (begin: <T>(running: Running<T>) => Promise<unknown>) => {
    await last // its caller abandons it to end the wait
    const numbers = [...registrations.values()]
    if (numbers.length > 0) await begin(run('deregisterEvents', conn, { registrations: numbers }))
    // Events that libvirt is just delivering hold the connection too, so the event thread lets go before the last.
    await loop.unwatch(id)
    await begin(run('close', conn, undefined))
    forget()
  }

  return {
    conn,
    isBusy: () => pending > 0,
    run: start,
    listen(kind) {
      if (registrations.has(kind)) return { outcome: Promise.resolve({ ok: true, value: undefined }), abandon() {} }
      const { id: event } = eventKinds[kind]
      const running = start('registerEvent', {
        id: event,
        callback: loop.callbacks.get(event) ?? 0n,
        opaque: BigInt(id),
      })
      const register = async () => {
        const outcome = await running.outcome
        if (outcome.ok) registrations.set(kind, outcome.value)
        return outcome
      }
      return { outcome: register(), abandon: running.abandon }
    },
    release() {
      isOver = true
      let isAbandoned = false
      let step: Running<unknown> | undefined
      const isDone = giveBack((running) => {
        step = running
        if (isAbandoned) running.abandon()
        return running.outcome
      })
      return {
        isDone,
        abandon() {
          isAbandoned = true
          step?.abandon()
        },
      }
    },
  }
}
