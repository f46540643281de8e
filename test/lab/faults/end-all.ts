import { operations } from '#shared/contracts/core/operations.ts'
import type { Calling } from './scenario.ts'

/** Ends the operations that a failed test has left running. */
export async function endAll(horcrux: Calling): Promise<void> {
  for (const { id, state } of (await horcrux.call(operations, 'list', { limit: 1000 })).data) {
    if (!['queued', 'running'].includes(state)) continue
    // It may have ended, or have come too far to be cancelled.
    await horcrux.call(operations, 'cancel', { id }).catch(() => undefined)
    await horcrux.call(operations, 'wait', { id, timeout: 60 }, { timeoutMs: 65_000 })
  }
}
