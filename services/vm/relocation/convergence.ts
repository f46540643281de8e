import type { MoveProgress } from '#shared/contracts/vm/moves.ts'

/** Iterations over which the rest of the memory must become smaller. */
const window = 6
/** A rest that is not smaller than this part of the best one before is no progress. */
const progressPart = 0.9
/** A guest is slowed down at most this much. Percent. */
const fullThrottle = 99

/**
 * Watches whether a move comes to an end: it has stalled when the best rest of the last iterations is hardly smaller than the
 * best one before them. The hypervisor's dirty rate is no sign: of a guest that rewrites the
 * same pages it reads low. While the hypervisor may still slow the guest down more, nothing has stalled.
 */
export function watchConvergence(slowsDown: boolean): (numbers: MoveProgress) => boolean {
  const rests: number[] = []
  let last = { iteration: 0, rest: 0 }
  return ({ iteration, ram_remaining_bytes: rest, throttle_percent: throttle }) => {
    if (iteration !== null && iteration > last.iteration && last.iteration > 0) rests.push(last.rest)
    if (iteration !== null) last = { iteration, rest }
    if (rests.length <= window) return false
    const before = Math.min(...rests.slice(0, -window))
    const lately = Math.min(...rests.slice(-window))
    return lately >= before * progressPart && (!slowsDown || (throttle ?? 0) >= fullThrottle)
  }
}
