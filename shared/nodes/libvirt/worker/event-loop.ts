/** This thread's side of the event thread, and the process's one-time start and end of libvirt. */
import { MessageChannel } from 'node:worker_threads'
import { UnavailableError } from '#shared/errors.ts'
import { shutDownSockets, type Peer } from './abort.ts'
import type { EventLoopCommand, EventLoopMessage } from './event-worker.ts'
import type { DomainEvent } from './events.ts'
import type { Library, Pointer } from './ffi.ts'
import { busy, warmUp } from './pool.ts'
import { startThread } from './thread.ts'

type Watcher = { onEvent(event: DomainEvent): void; onLost(): void; onUnwatched?: (() => void) | undefined }

export type EventLoop = {
  library: Library
  /** The address of the C callback of each libvirt event id. */
  callbacks: ReadonlyMap<number, Pointer>
  /** Follows a connection: its events, and its end. The number names it to libvirt's callbacks. */
  watch(conn: Pointer, watcher: Watcher): number
  /** Resolves when the event thread will not touch the connection again. */
  unwatch(connection: number): Promise<void>
  /** Keeps the process alive until as many `unhold`, as an open socket does. */
  hold(): void
  unhold(): void
}

/** Peers whose sockets are shut down when the process ends, so that no thread keeps it. */
export const openPeers = new Set<(peer: Peer) => boolean>()

/** Loaded late: an importer of this file needs no libvirt, and does not wait for it. */
const load = async (): Promise<Library> => {
  try {
    const { loadLibrary } = await import('./ffi.ts')
    return loadLibrary()
  } catch (cause) {
    const missing = 'Install libvirt0 (Debian, Ubuntu) or libvirt-libs (Fedora, RHEL) on the machine that runs Horcrux'
    throw new UnavailableError(`libvirt's client library cannot be loaded. ${missing}`, { cause })
  }
}

const start = async (): Promise<EventLoop> => {
  const { port1: port, port2 } = new MessageChannel()
  const worker = startThread(new URL('./event-worker.ts', import.meta.url), { port: port2 }, { transferList: [port2] })
  warmUp()
  const watchers = new Map<number, Watcher>()
  const isReady = Promise.withResolvers<Extract<EventLoopMessage, { type: 'ready' }>>()
  isReady.promise.catch(() => {}) // without the library load() says so first, and better
  worker.on('error', (error) => isReady.reject(error))
  port.on('message', (message: EventLoopMessage) => {
    if (message.type === 'ready') return isReady.resolve(message)
    const watcher = watchers.get(message.connection)
    if (message.type === 'event') watcher?.onEvent(message.event)
    else if (message.type === 'lost') watcher?.onLost()
    else watcher?.onUnwatched?.()
  })
  const library = await load()
  const { callbacks, wakeTimer } = await isReady.promise
  worker.unref()
  port.unref()

  const send = (command: EventLoopCommand) => {
    port.postMessage(command)
    library.virEventUpdateTimeout(wakeTimer, 0)
  }
  process.on('exit', () => {
    send({ stop: true })
    leave(library)
  })
  send({ hello: true })

  let last = 0
  let holds = 0
  return {
    library,
    callbacks,
    watch(conn, watcher) {
      const connection = ++last
      watchers.set(connection, watcher)
      send({ watch: connection, conn })
      return connection
    },
    async unwatch(connection) {
      const { promise, resolve } = Promise.withResolvers<void>()
      const watcher = watchers.get(connection)
      if (!watcher) return
      watcher.onUnwatched = resolve
      send({ unwatch: connection })
      await promise
      watchers.delete(connection)
    },
    hold() {
      if (holds++ === 0) port.ref()
    },
    unhold() {
      if (--holds === 0) port.unref()
    },
  }
}

/**
 * Node waits for its threads when it ends. Those that are inside libvirt are freed by taking their sockets away; one
 * that is still connecting has no peer yet, and for it there is only ending the process the hard way.
 */
const leave = (library: Library): void => {
  if (Atomics.load(busy, 0) === 0) return
  shutDownSockets(library, (peer) => [...openPeers].some((matches) => matches(peer)))
  const deadline = performance.now() + 300
  for (let count = Atomics.load(busy, 0); count > 0; count = Atomics.load(busy, 0)) {
    const left = deadline - performance.now()
    if (left <= 0) library._exit(Number(process.exitCode ?? 0))
    Atomics.wait(busy, 0, count, left)
  }
}

let running: Promise<EventLoop> | undefined

/** The process's event loop, started at the first call. Throws UnavailableError where libvirt is not installed. */
export const eventLoop = (): Promise<EventLoop> => {
  running ??= start()
  running.catch(() => {
    running = undefined
  })
  return running
}
