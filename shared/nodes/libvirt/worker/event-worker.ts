/**
 * The event thread: libvirt's own event loop. It answers and sends keep-alives, delivers domain events, and sees
 * connections die. There is one per process, because libvirt's default loop is one per process.
 */
import { receiveMessageOnPort, workerData, type MessagePort } from 'node:worker_threads'
import koffi from 'koffi'
import { eventKinds, type DomainEvent } from './events.ts'
import { loadLibrary, type Pointer } from './ffi.ts'
import { hasLoaded } from './thread.ts'

export type EventLoopCommand = { hello: true } | { watch: number; conn: Pointer } | { unwatch: number } | { stop: true }
export type EventLoopMessage =
  /** The C callback of each event id, and the timer whose firing wakes the loop. */
  | { type: 'ready'; callbacks: ReadonlyMap<number, Pointer>; wakeTimer: number }
  | { type: 'event'; connection: number; event: DomainEvent }
  | { type: 'lost'; connection: number }
  | { type: 'unwatched'; connection: number }

const library = loadLibrary()
// event-loop.ts starts this file with exactly this.
const { port } = workerData as { port: MessagePort }
const post = (message: EventLoopMessage) => port.postMessage(message)

if (library.virEventRegisterDefaultImpl() < 0) throw new Error('libvirt refused its own event loop')
/** Until the process has sent its first command, it may end without one: Node ends a thread only while that runs JavaScript. */
const unheardMs = 50
let isHeard = false
const wakeTimer = library.virEventAddTimeout(unheardMs, library.nothing, null, null)

const uuidBytes = Buffer.alloc(37)
const callbacks = new Map<number, Pointer>()
for (const { id, extra, decode } of Object.values(eventKinds)) {
  const parameters = ['void *', 'void *', ...extra, 'void *']
  const callback = (_conn: Pointer, domain: Pointer, ...rest: (number | string | Pointer | null)[]) => {
    // The opaque pointer is the number of the connection, not an address; null is how koffi shows 0.
    const connection = Number(rest.pop() ?? 0)
    library.virDomainGetUUIDString(domain, uuidBytes)
    const of = { uuid: uuidBytes.toString('latin1', 0, 36), name: library.virDomainGetName(domain) ?? '' }
    // Without the opaque pointer only numbers and strings are left.
    const event = decode(of, rest as (number | string | null)[])
    if (event) post({ type: 'event', connection, event })
  }
  callbacks.set(id, koffi.register(callback, koffi.pointer(koffi.proto('void', parameters))))
}

const watched = new Map<number, Pointer>()

const reportLost = (): void => {
  for (const [connection, conn] of watched) {
    if (library.virConnectIsAlive(conn) === 1) continue
    watched.delete(connection)
    post({ type: 'lost', connection })
  }
}

/** Runs the commands that were sent. @returns false when told to stop */
const obey = (): boolean => {
  for (let next = receiveMessageOnPort(port); next; next = receiveMessageOnPort(port)) {
    // event-loop.ts sends nothing else.
    const command = next.message as EventLoopCommand
    isHeard = true
    if ('stop' in command) return false
    if ('watch' in command) watched.set(command.watch, command.conn)
    else if ('unwatch' in command) {
      watched.delete(command.unwatch)
      post({ type: 'unwatched', connection: command.unwatch })
    }
  }
  return true
}

hasLoaded()
post({ type: 'ready', callbacks, wakeTimer })
do {
  library.virEventRunDefaultImpl()
  // Disarmed before the commands are read: one that arrives later arms it again, so none is missed.
  if (isHeard) library.virEventUpdateTimeout(wakeTimer, -1)
  reportLost()
} while (obey())
