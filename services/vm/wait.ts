import { reach } from '#shared/nodes.ts'
import type { VmRecord } from './model.ts'
import { lookAt } from './status.ts'

const lookEveryMs = 2000

/**
 * Waits until a guest is off, told by libvirt's events, and looking now and then in case one is missed.
 * @returns false when the time is over
 */
export async function waitForStop(vm: VmRecord, timeoutMs: number, signal: AbortSignal): Promise<boolean> {
  const deadline = Date.now() + timeoutMs
  const { libvirt } = await reach(vm.node)
  let wake = () => {}
  const unsubscribe = libvirt.subscribe(['lifecycle'], (news) => {
    if (news.kind !== 'lifecycle' || news.uuid === vm.domain_uuid) wake()
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
    unsubscribe()
    signal.removeEventListener('abort', abort)
  }
}
