import { reach } from '#shared/nodes/nodes.ts'
import { driverOf } from '../drivers/drivers.ts'
import type { VmRecord } from '../model.ts'
import { statusNow } from '../state/status.ts'

const checkEveryMs = 2000

/**
 * Waits until a guest is off: reads its status after each event, and every two seconds in case an event is missed.
 * @returns false when the time is over
 */
export async function waitForStop(vm: VmRecord, timeoutMs: number, signal: AbortSignal): Promise<boolean> {
  const deadline = Date.now() + timeoutMs
  const reached = await reach(vm.node)
  let wake = () => {}
  const unsubscribe = driverOf(vm).events(reached, (event) => {
    if (event.kind !== 'guest' || event.handle === vm.handle) wake()
  })
  const abort = () => wake()
  signal.addEventListener('abort', abort)
  try {
    for (;;) {
      const { promise, resolve } = Promise.withResolvers<void>()
      wake = resolve
      signal.throwIfAborted()
      if ((await statusNow(vm)).status === 'stopped') return true
      const leftMs = deadline - Date.now()
      if (leftMs <= 0) return false
      const timer = setTimeout(resolve, Math.min(leftMs, checkEveryMs))
      await promise
      clearTimeout(timer)
    }
  } finally {
    unsubscribe()
    signal.removeEventListener('abort', abort)
  }
}
