import { isBusConnected } from '#shared/bus/bus.ts'
import { freshMs, highestTry, type Try } from '#shared/bus/tries.ts'
import { LateCallError } from '#shared/errors.ts'
import { requireCurrentRun } from '#shared/operation/lease.ts'
import type { FencingToken } from '#shared/runtime/request-context.ts'

/**
 * The check of one try before each of its effects. It costs nothing while the try is fresh and this process is on the bus;
 * afterwards the store is asked whether a higher try was sent and, for a call of an operation, whether its run is the current one.
 * @returns a function that throws LateCallError or LostLeaseError when the try may not act any more
 */
export function guardOf(
  { call, number, sentAt, deadline }: Try,
  fence: FencingToken | undefined,
): () => Promise<void> | void {
  let confirmedAt = sentAt
  const confirm = async () => {
    const askedAt = Date.now()
    const [highest] = await Promise.all([highestTry(call), fence && requireCurrentRun(fence)])
    if (highest > number) throw new LateCallError('The call was given up, or sent to another replica, by now')
    confirmedAt = askedAt
  }
  return () => {
    const now = Date.now()
    if (now > deadline) throw new LateCallError('The call came too late: its sender does not wait for it any more')
    if (now - confirmedAt >= freshMs || !isBusConnected()) return confirm()
  }
}
