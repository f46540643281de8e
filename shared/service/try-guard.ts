import { isBusConnected } from '#shared/bus/bus.ts'
import { freshMs, highestTry, type Try } from '#shared/bus/tries.ts'
import { LateCallError } from '#shared/errors.ts'
import { requireCurrentRun } from '#shared/operation/lease.ts'
import type { FencingToken } from '#shared/runtime/request-context.ts'
import { wasStoppedSince } from '#shared/runtime/stops.ts'

/** Knowledge of this time, in milliseconds since 1970, does not count any more. */
const isOld = (time: number) => Date.now() - time >= freshMs || wasStoppedSince(time)

/** The clocks of the hosts differ by less. Milliseconds. */
const clocksDifferMs = 1000

/** Drops a question that lay in the socket of a stopped process. @throws LateCallError when its sender does not wait for it any more */
export const requireWaitedFor = (deadline: number): void => requireInTime(deadline + clocksDifferMs)

function requireInTime(deadline: number): void {
  if (Date.now() > deadline) throw new LateCallError('The call came too late: its sender does not wait for it any more')
}

/**
 * The check of one try before each of its effects. It costs nothing while the try is fresh and this process is on the bus;
 * afterwards, and after a stop of this process, the store is asked whether a higher try was sent and, for a call of an operation, whether its run is the current one.
 * @param receivedAt by the clock of this process
 * @returns a function that throws LateCallError or LostLeaseError when the try may not act any more
 */
export function guardOf(
  { call, number, sentAt, deadline }: Try,
  fence: FencingToken | undefined,
  receivedAt = Date.now(),
): () => Promise<void> | void {
  // The sender's clock may be ahead of this one.
  let confirmedAt = Math.min(sentAt, receivedAt)
  const confirm = async () => {
    do {
      requireInTime(deadline)
      confirmedAt = Date.now()
      const [highest] = await Promise.all([highestTry(call), fence && requireCurrentRun(fence)])
      if (highest > number) throw new LateCallError('The call was given up, or sent to another replica, by now')
      // An answer that lay in the socket of a stopped process is as old as the stop: it is asked for again.
    } while (isOld(confirmedAt))
  }
  return () => {
    requireInTime(deadline)
    if (isOld(confirmedAt) || !isBusConnected()) return confirm()
  }
}
