/**
 * A call thread: one libvirt call at a time, synchronously, so that the error read afterwards is the one of this call
 * (libvirt keeps it per thread). It may block for as long as libvirt does; pool.ts starts another thread for the next call.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { operations } from './calls.ts'
import { loadLibrary } from './ffi.ts'
import type { CallMessage, Job, Outcome } from './pool.ts'
import { LibvirtFailure } from './results.ts'
import { hasLoaded } from './thread.ts'

const library = loadLibrary()
hasLoaded()
// pool.ts starts this file with exactly this.
const { busy } = workerData as { busy: Int32Array }

const perform = ({ operation, conn, args }: Job): Outcome => {
  try {
    // The caller's types tie args to the operation; here one of many is called by name.
    const run = operations[operation] as (...all: unknown[]) => unknown
    return { ok: true, value: run(library, conn, args) }
  } catch (error) {
    if (!(error instanceof LibvirtFailure))
      return { ok: false, bug: error instanceof Error ? error : new Error(String(error)) }
    const alive = conn !== 0n && library.virConnectIsAlive(conn) === 1
    return { ok: false, failure: error.failure, alive }
  }
}

const say = (message: CallMessage) => parentPort?.postMessage(message, [])

parentPort?.on('message', (job: Job) => {
  Atomics.add(busy, 0, 1)
  const outcome = perform(job)
  Atomics.sub(busy, 0, 1)
  Atomics.notify(busy, 0)
  say(outcome)
})
say('ready')
