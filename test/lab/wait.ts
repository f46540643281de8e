import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Asks again and again until the answer is neither false, null nor undefined, and returns it. A throw counts as "not
 * yet". Throws after `timeoutMs` (default 10,000), with the last error as cause.
 */
export async function until<T>(
  ask: () => T | false | null | undefined | Promise<T | false | null | undefined>,
  {
    timeoutMs = 10_000,
    intervalMs = 25,
    what = 'the condition',
  }: { timeoutMs?: number; intervalMs?: number; what?: string } = {},
): Promise<T> {
  const end = performance.now() + timeoutMs
  let cause: unknown
  while (performance.now() < end) {
    try {
      const answer = await ask()
      if (answer !== false && answer !== null && answer !== undefined) return answer
      cause = undefined
    } catch (error) {
      cause = error
    }
    await sleep(intervalMs)
  }
  throw new Error(`${what} did not come true within ${timeoutMs / 1000} s`, { cause })
}
