import { reach } from '#shared/nodes/nodes.ts'
import { driverOf } from '../drivers/drivers.ts'
import type { VmRecord } from '../model.ts'
import { lookAt } from '../state/status.ts'

const lookEveryMs = 2000

/**
 * Waits until a guest is off, told by its hypervisor's events, and looking now and then in case one is missed.
 * @returns false when the time is over
 */
export async function waitForStop(vm: VmRecord, timeoutMs: number, signal: AbortSignal): Promise<boolean> {
  const deadline = Date.now() + timeoutMs
  const reached = await reach(vm.node)
  let wake = () => {}
  const unfollow = driverOf(vm).follow(reached, (news) => {
    if (news.kind !== 'guest' || news.domain_uuid === vm.domain_uuid) wake()
  })
  const abort = () => wake()
  signal.addEventListener('abort', abort)
  try {
    for (;;) {
      const { promise, resolve } = Promise.withResolvers<void>()
      wake = resolve
      signal.throwIfAborted()
      if ((await lookAt(vm)).status === 'stopped') return true
      const leftMs = deadline - Date.now()
      if (leftMs <= 0) return false
      const timer = setTimeout(resolve, Math.min(leftMs, lookEveryMs))
      await promise
      clearTimeout(timer)
    }
  } finally {
    unfollow()
    signal.removeEventListener('abort', abort)
  }
}
