/**
 * A connection to one libvirtd: sessions as many as its calls need at once. It does not heal; host-connection.ts does
 * that.
 */
import { UnavailableError } from '#shared/errors.ts'
import { requireCurrent } from '#shared/runtime/request-context.ts'
import type { OperationArguments, OperationName, OperationResult } from '../worker/calls.ts'
import { translate, translateConnect } from './errors.ts'
import { eventLoop, type EventLoop } from '../worker/event-loop.ts'
import type { DomainEvent, EventKind } from '../worker/events.ts'
import type { Outcome, Running } from '../worker/pool.ts'
import { lanes, queue, type Lane } from './queue.ts'
import { openSession, openSessionInTime, type Session } from './session.ts'
import type { Pointer } from '../worker/ffi.ts'

type CallOptions = {
  /**
   * For calls that may rightly take long (start, shutdown, migration): they have no time limit of their own and do not
   * take the places of questions. They end when libvirt answers, or when keep-alive finds the daemon dead.
   */
  isSlow?: boolean
  /** Called once when the call is not inside libvirt any more, which may be after its caller was told of an error. */
  onEnd?: () => void
}

/** A session for a call of another host, such as a migration, which uses both. */
export type Lent = {
  conn: Pointer
  /** Gives it back. Nothing may use it from then on. */
  release(): void
}

/** A Connection or a HostConnection: the functions of domain.ts, stats.ts and host-facts.ts take either. */
export type Libvirt = {
  /** The host's name, for messages. */
  readonly host: string
  /** Runs one operation of calls.ts. @throws the errors that errors.ts translates libvirt's into */
  call<K extends OperationName>(
    operation: K,
    args: OperationArguments<K>,
    options?: CallOptions,
  ): Promise<OperationResult<K>>
}

export type Connection = Libvirt & {
  /** Starts to deliver events of these kinds to `onEvent`. Again for a kind that is on: nothing. */
  listen(kinds: readonly EventKind[]): Promise<void>
  /**
   * Opens a session that no other call uses.
   * @param onLost its daemon has ended it, or is silent for too long
   * @throws UnavailableError when the daemon does not open it within the time limit
   */
  lend(onLost: () => void): Promise<Lent>
  /** Ends the connection; calls under way fail. Takes half a second at most, also when the daemon hangs. */
  close(): Promise<void>
}

export type ConnectionOptions = {
  /** The host's name in messages. Default: the URI. */
  host?: string
  /** The connection is gone for another reason than close(). */
  onClose?: (error: UnavailableError) => void
  onEvent?: (event: DomainEvent) => void
  /** A silent daemon is asked this often, and is dead after the third time. Whole seconds. Default 5. */
  keepAliveSeconds?: number
  /** Time limit of opening, and of a call that is not slow. Default 10,000. */
  timeoutMs?: number
}

export type Limits = { keepAliveSeconds: number; timeoutMs: number }
export const defaultLimits: Limits = { keepAliveSeconds: 5, timeoutMs: 10_000 }

/** Number of calls of each lane that one host gets at once, and so of its sessions. */
const room: Record<Lane, number> = { quick: 3, slow: 4 }
/**
 * The operations that change nothing. Every other one is refused to code that is too late to act, except commands for the
 * agent: a freeze may always be ended.
 */
const harmless: ReadonlySet<OperationName> = new Set([
  'open',
  'close',
  'registerEvent',
  'deregisterEvents',
  'connectText',
  'domainCapabilities',
  'baselineCpu',
  'missingCpuFeatures',
  'versions',
  'nodeInfo',
  'freeMemoryBytes',
  'isNetworkActive',
  'list',
  'findDomain',
  'domainState',
  'domainXml',
  'agentCommand',
  'backupXml',
  'job',
  'states',
  'isAutostart',
  'samples',
])

const closeMs = 500
const idleMs = 30_000

/**
 * Opens a connection.
 * @param uri such as `qemu:///system`, `qemu+unix:///system?socket=/run/x.sock`, `qemu+tcp://10.0.0.1/system`
 * @throws UnavailableError when the library is missing, the daemon cannot be reached, or it does not answer in time.
 */
export const openConnection = async (uri: string, options: ConnectionOptions = {}): Promise<Connection> => {
  const opening = beginConnection(uri, options)
  const { timeoutMs = defaultLimits.timeoutMs, host = uri } = options
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => {
    opening.abort()
    late.reject(doesNotAnswer(host, timeoutMs))
  }, timeoutMs)
  try {
    return await Promise.race([opening.connection, late.promise])
  } finally {
    clearTimeout(timer)
  }
}

export const doesNotAnswer = (host: string, timeoutMs: number) =>
  new UnavailableError(`Host '${host}': libvirt did not answer within ${timeoutMs / 1000} s`, { details: { host } })

const wasClosed = (host: string) =>
  new UnavailableError(`Host '${host}': the connection was closed`, { details: { host } })

/**
 * Begins to open a connection, for as long as it takes. `abandon` lets the process end meanwhile; `abort` gives up,
 * and closes a connection that comes later.
 */
export const beginConnection = (uri: string, options: ConnectionOptions) => {
  const { host = uri, keepAliveSeconds = defaultLimits.keepAliveSeconds, timeoutMs = defaultLimits.timeoutMs } = options
  let isAborted = false
  let onLost: (message?: string) => void = () => {}
  const primary = openSession({
    uri,
    keepAliveSeconds,
    onEvent: options.onEvent,
    onLost: (failure) => onLost(failure?.message),
  })
  const open = async () => {
    const session = value(await primary.outcome, host)
    const loop = await eventLoop()
    const connection = establish(session, loop, { ...options, uri, host, keepAliveSeconds, timeoutMs })
    onLost = connection.lose
    if (!isAborted) return connection
    await connection.close()
    throw wasClosed(host)
  }
  const connection: Promise<Connection> = open()
  connection.catch(() => {}) // after an abort nothing waits for it
  return {
    connection,
    abandon: primary.abandon,
    abort() {
      isAborted = true
      primary.abandon()
    },
  }
}

const value = <T>(outcome: Outcome<T>, host: string): T => {
  if (outcome.ok) return outcome.value
  throw 'bug' in outcome ? outcome.bug : translateConnect(outcome.failure, host)
}

type Established = ConnectionOptions & Limits & { uri: string; host: string }

const establish = (
  primary: Session,
  loop: EventLoop,
  { uri, host, timeoutMs, keepAliveSeconds, onClose }: Established,
): Connection & { lose(why?: string): void } => {
  const sessions = new Set<Session>([primary])
  const retiring = new Map<Session, NodeJS.Timeout>()
  let opening: Running<Session> | undefined
  let end: UnavailableError | undefined
  const limit = { ms: timeoutMs, error: () => doesNotAnswer(host, timeoutMs) }
  loop.hold()

  const finish = async (reason: UnavailableError) => {
    end = reason
    calls.fail(reason, lanes, 'all')
    opening?.abandon()
    for (const timer of retiring.values()) clearTimeout(timer)
    const releases = [...sessions].map((session) => session.release())
    const patience = Promise.withResolvers<void>()
    const timer = setTimeout(patience.resolve, closeMs)
    await Promise.race([Promise.all(releases.map(({ isDone }) => isDone)), patience.promise])
    clearTimeout(timer)
    for (const release of releases) release.abandon()
    loop.unhold()
  }

  const lose = (why?: string) => {
    if (end) return
    const reason = `Host '${host}': the connection to libvirt was lost`
    const error = new UnavailableError(why ? `${reason}: ${why}` : reason, { details: { host } })
    void finish(error)
    onClose?.(error)
  }

  const drop = (session: Session) => {
    sessions.delete(session)
    clearTimeout(retiring.get(session))
    retiring.delete(session)
    session.release().abandon()
  }

  const openMore = (onLost: () => void) => openSessionInTime({ uri, keepAliveSeconds, onLost }, limit)

  /** Opens one more session for calls. One at a time: a daemon that hangs is not asked for more. */
  const grow = async () => {
    if (opening || end) return
    let session: Session | undefined
    opening = openMore(() => session && drop(session))
    const outcome = await opening.outcome
    opening = undefined
    if (outcome.ok) {
      session = outcome.value
      sessions.add(session)
      if (end) return drop(session)
      retireWhenIdle(session)
      calls.proceed()
    } else if (sessions.size === 1) {
      // No other session takes slow calls; questions still have the primary one.
      calls.fail('bug' in outcome ? outcome.bug : translateConnect(outcome.failure, host), ['slow'])
    }
  }

  const retireWhenIdle = (session: Session) => {
    if (session === primary || end || !sessions.has(session)) return
    retiring.set(session, setTimeout(() => drop(session), idleMs).unref())
  }

  /** A session for one more call. The primary one is not for slow calls: they would keep it from listening. */
  const take = (lane: Lane) => {
    const free = [...sessions].find((session) => !session.isBusy() && (lane === 'quick' || session !== primary))
    if (!free) void grow()
    return free
  }
  const calls = queue(room, take)

  const runOn = <K extends OperationName>(session: Session, operation: K, args: OperationArguments<K>) => {
    clearTimeout(retiring.get(session))
    const { outcome, abandon } = session.run(operation, args)
    const rest = async () => {
      await outcome
      retireWhenIdle(session)
    }
    void rest()
    return { outcome, abandon }
  }

  const result = <T>(outcome: Outcome<T>): T => {
    if (outcome.ok) return outcome.value
    throw 'bug' in outcome ? outcome.bug : translate(outcome.failure, host)
  }

  return {
    host,
    lose,
    async call(operation, args, { isSlow = false, onEnd } = {}) {
      let hasBegun = false
      const start = (session: Session) => {
        hasBegun = true
        const running = runOn(session, operation, args)
        if (onEnd) void running.outcome.then(onEnd)
        return running
      }
      try {
        if (!harmless.has(operation)) await requireCurrent()
        if (end) throw end
        return result(await calls.add(isSlow ? 'slow' : 'quick', start, isSlow ? undefined : limit))
      } finally {
        if (!hasBegun) onEnd?.()
      }
    },
    async lend(onLost) {
      if (end) throw end
      const session = value(await openMore(onLost).outcome, host)
      return { conn: session.conn, release: () => session.release().abandon() }
    },
    async listen(kinds) {
      if (end) throw end
      for (const kind of kinds) result(await calls.add('quick', () => primary.listen(kind), limit))
    },
    async close() {
      if (!end) await finish(wasClosed(host))
    },
  }
}
