/** Threads that run a TypeScript file. */
import { Worker, type WorkerOptions, workerData } from 'node:worker_threads'

/** With the cache of stripped types a thread starts in half the time and takes 13 MB instead of 24. */
const hook = ['--import', new URL('../../../platform/strip-types.js', import.meta.url).href]

/**
 * Count of threads that are loading the library, readable by all. A process that exits in the middle of that would end
 * with SIGABRT, because koffi takes the termination of its thread for a fatal error: `exit` waits for them.
 */
let loading: Int32Array | undefined
const loadsWithinMs = 1000

function awaitLoading(counter: Int32Array): void {
  const end = performance.now() + loadsWithinMs
  for (let count = Atomics.load(counter, 0); count > 0; count = Atomics.load(counter, 0))
    if (Atomics.wait(counter, 0, count, end - performance.now()) === 'timed-out') return
}

/** @param data what the file finds in `workerData`; it calls {@link hasLoaded} */
export function startThread(file: URL, data: object, options: WorkerOptions = {}): Worker {
  if (!loading) {
    const counter = new Int32Array(new SharedArrayBuffer(4))
    loading = counter
    process.once('exit', () => awaitLoading(counter))
  }
  Atomics.add(loading, 0, 1)
  return new Worker(file, { ...options, workerData: { ...data, loading }, execArgv: hook })
}

/** Tells, from inside a thread, that it has loaded the library. */
export function hasLoaded(): void {
  // It is a thread of `startThread`.
  const counter = (workerData as { loading: Int32Array }).loading
  Atomics.sub(counter, 0, 1)
  Atomics.notify(counter, 0)
}
