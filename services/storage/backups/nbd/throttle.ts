import { setTimeout as sleep } from 'node:timers/promises'

/** Delays, so that the average does not exceed a rate. @param bytesPerSecond none: no delay */
export function throttle(bytesPerSecond: number | undefined, signal: AbortSignal): (bytes: number) => Promise<void> {
  let freeAt = performance.now()
  return async (bytes) => {
    if (bytesPerSecond === undefined) return
    const nowMs = performance.now()
    const beginAt = Math.max(nowMs, freeAt)
    freeAt = beginAt + (bytes / bytesPerSecond) * 1000
    if (beginAt > nowMs) await sleep(beginAt - nowMs, undefined, { signal })
  }
}
