import { setTimeout as delay } from 'node:timers/promises'

/**
 * Turns at a distance for all callers together, so that more of them take longer and not more of the processor.
 * @returns a function that waits for the next turn
 */
export function createPace(distanceMs: number): () => Promise<void> {
  let next = -Infinity
  return async () => {
    const now = performance.now()
    next = Math.max(now, next + distanceMs)
    if (next > now) await delay(next - now)
  }
}
