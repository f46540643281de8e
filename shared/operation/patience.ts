import { setTimeout as delay } from 'node:timers/promises'
import { UnavailableError } from '#shared/errors.ts'

/** Time that an operation waits for a service, a host or the store without an answer. Milliseconds. */
export const patienceMs = 40_000

/**
 * Repeats a piece of work while a service, a host or the store does not answer: steps bear being run twice. The time counts
 * from the first such error, since a lost answer may have been waited for longer already.
 * @param onWait called once, with the reason
 */
export async function patiently<T>(
  work: () => Promise<T>,
  signal?: AbortSignal,
  onWait?: (why: string) => unknown,
): Promise<T> {
  for (let deadline: number | undefined; ;) {
    try {
      return await work()
    } catch (error) {
      const isFirst = deadline === undefined
      deadline ??= Date.now() + patienceMs
      if (!(error instanceof UnavailableError) || Date.now() > deadline) throw error
      if (isFirst) onWait?.(error.message)
      await delay(500, undefined, signal && { signal }).catch(() => signal?.throwIfAborted())
    }
  }
}
