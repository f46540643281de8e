import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

const everyMs = 10_000
/** Share of the time that the event loop works; below it a pause of some 100 ms disturbs nobody. */
const idleBelow = 0.1
/** Growth since the last compaction that is worth another one. */
const growth = 1.25

/**
 * Compacts the heap while the process is idle. V8 keeps the pages of a start or of a burst of requests, half empty, for
 * as long as nothing else needs memory: 10 to 40 MB here.
 * @returns a function that stops it
 */
export function compactWhenIdle(): () => void {
  let since = performance.eventLoopUtilization()
  let compactBytes = 0
  const timer = setInterval(() => {
    const { utilization } = performance.eventLoopUtilization(since)
    since = performance.eventLoopUtilization()
    if (utilization > idleBelow || process.memoryUsage().heapTotal < compactBytes * growth) return
    collect({ type: 'major', execution: 'sync', flavor: 'last-resort' })
    compactBytes = process.memoryUsage().heapTotal
  }, everyMs)
  timer.unref()
  return () => clearInterval(timer)
}

let gc: ((options: object) => void) | undefined

/** V8's collector, which Node shows only to a context that is made with the flag. */
function collect(options: object): void {
  if (!gc) {
    setFlagsFromString('--expose-gc')
    gc = runInNewContext('gc') as typeof gc
    setFlagsFromString('--no-expose-gc')
  }
  gc?.(options)
}
