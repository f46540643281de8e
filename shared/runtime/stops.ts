import { log } from '#shared/runtime/log.ts'
import { every } from '#shared/runtime/repeat.ts'

/**
 * Notices that this process did not run for a while: it was stopped (SIGSTOP, a paused virtual machine), or its event loop
 * was blocked. Another process may have done its work meanwhile, so everything that it knew before has to be read again.
 */

const beatEveryMs = 250
/** A heartbeat that is late by more than this counts as a stop. A busy event loop is late by less. Milliseconds. */
const lateMs = 1500

/** The difference between the two clocks, which a machine that was suspended finds changed. */
const clocksApart = () => Date.now() - performance.now()

let beat: { at: number; apart: number } | undefined
/** By the monotonic clock: the wall clock can be set back, and the stop would lie in the future. Milliseconds. */
let noticedAt = -Infinity

/**
 * The length of a stop, by the last heartbeat and the one that is due; 0 if there was none.
 * @param monotonic milliseconds since the last heartbeat, by the monotonic clock
 * @param clocksMoved milliseconds that the wall clock has moved beyond the monotonic one, which stands while a machine is suspended
 */
export function stopLength(monotonic: number, clocksMoved: number): number {
  const ms = Math.max(monotonic, monotonic + clocksMoved) - beatEveryMs
  return ms > lateMs ? ms : 0
}

/** Looks now: after a stop, messages are handled before the timer of the heartbeat. */
function look(): void {
  if (!beat) return
  const ms = stopLength(performance.now() - beat.at, clocksApart() - beat.apart)
  if (ms === 0) return
  beatNow()
  noticedAt = performance.now()
  log('start').warn({ ms: Math.round(ms) }, 'this process did not run for a while: it asks before it changes anything')
}

const beatNow = () => void (beat = { at: performance.now(), apart: clocksApart() })

/** Begins the heartbeat. @returns a function that ends it */
export function watchForStops(): () => void {
  beatNow()
  const turn = async () => {
    look()
    beatNow()
  }
  const stop = every(beatEveryMs, turn, { part: 'start', failed: 'the heartbeat failed' })
  return () => {
    stop()
    beat = undefined
  }
}

/** Checks that this process was stopped after a time, in milliseconds since 1970. */
export function wasStoppedSince(time: number): boolean {
  look()
  return noticedAt >= time - clocksApart()
}
