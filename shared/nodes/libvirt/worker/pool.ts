/**
 * The call threads, shared by all connections. A call to a host that hangs keeps its thread; no other call waits
 * for it, because a busy thread is never given a second call and new threads are started on demand.
 */
import type { Worker } from 'node:worker_threads'
import type { OperationArguments, OperationName, OperationResult } from './calls.ts'
import type { Failure, Pointer } from './ffi.ts'
import { startThread } from './thread.ts'

export type Job = { operation: OperationName; conn: Pointer; args: unknown }
export type Outcome<T = unknown> =
  | { ok: true; value: T }
  /** `alive` is false when the connection was found closed after the failure. */
  | { ok: false; failure: Failure; alive: boolean }
  | { ok: false; bug: Error }

/** A connection has at most 7 calls under way, so only many hanging hosts at once come near this. */
const maxThreads = 128
/** An idle thread takes 10 MB and is started in some 60 ms. */
const keptIdle = 1
const idleMs = 30_000

type Task = { job: Job; resolve: (outcome: Outcome) => void; isAbandoned: boolean; thread?: Thread }
type Thread = { worker: Worker; task?: Task | undefined; retire?: NodeJS.Timeout | undefined }
/** Message of a call thread: it is ready, or the outcome of its task. */
export type CallMessage = 'ready' | Outcome

/** Number of threads that are inside libvirt now, readable without a message to them. */
export const busy = new Int32Array(new SharedArrayBuffer(4))

const idle: Thread[] = []
const waiting: Task[] = []
let threads = 0
let starting = 0

const start = (): void => {
  threads++
  starting++
  const worker = startThread(new URL('./call-worker.ts', import.meta.url), { busy })
  const thread: Thread = { worker }
  let isReady = false
  worker.on('message', (message: CallMessage) => {
    if (message === 'ready') {
      isReady = true
      starting--
      return rest(thread)
    }
    const { task } = thread
    thread.task = undefined
    rest(thread)
    task?.resolve(message)
  })
  worker.on('error', (bug) => {
    const task = thread.task ?? (isReady ? undefined : waiting.shift())
    task?.resolve({ ok: false, bug })
  })
  worker.on('exit', () => {
    thread.task?.resolve({ ok: false, bug: new Error('a call thread ended in the middle of a call') })
    threads--
    if (!isReady) starting--
    if (idle.includes(thread)) idle.splice(idle.indexOf(thread), 1)
  })
}

/** The next task for a thread that has none, or idleness. */
const rest = (thread: Thread): void => {
  const next = waiting.shift()
  if (next) return give(thread, next)
  thread.worker.unref()
  idle.push(thread)
  if (idle.length <= keptIdle) return
  thread.retire = setTimeout(() => {
    idle.splice(idle.indexOf(thread), 1)
    void thread.worker.terminate()
  }, idleMs).unref()
}

const give = (thread: Thread, task: Task): void => {
  clearTimeout(thread.retire)
  thread.task = task
  task.thread = thread
  if (task.isAbandoned) thread.worker.unref()
  else thread.worker.ref()
  thread.worker.postMessage(task.job, [])
}

/** Starts the first thread ahead of its first call, at the same time as the event thread. */
export const warmUp = (): void => {
  if (threads === 0) start()
}

export type Running<T> = {
  outcome: Promise<Outcome<T>>
  /** Ends the wait: the call goes on, but no longer keeps the process alive. */
  abandon(): void
}

/** Runs an operation on a thread of its own. `conn` is 0n where there is no connection yet. */
export const run = <K extends OperationName>(
  operation: K,
  conn: Pointer,
  args: OperationArguments<K>,
): Running<OperationResult<K>> => {
  const { promise, resolve } = Promise.withResolvers<Outcome>()
  const task: Task = { job: { operation, conn, args }, resolve, isAbandoned: false }
  // The newest idle thread, so that the others grow old and retire.
  const thread = idle.pop()
  if (thread) give(thread, task)
  else {
    waiting.push(task)
    if (starting < waiting.length && threads < maxThreads) start()
  }
  return {
    // The thread runs exactly this operation, so its value is this operation's result.
    outcome: promise as Promise<Outcome<OperationResult<K>>>,
    abandon() {
      task.isAbandoned = true
      if (task.thread?.task === task) task.thread.worker.unref()
    },
  }
}
