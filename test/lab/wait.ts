import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Calls `ask` again and again until its answer is neither false, null nor undefined, and returns the answer. A throw
 * counts as "not yet". The time limit only ends a hopeless wait, also on a busy machine: it proves no speed.
 * @throws after `timeoutMs`, with the last error as cause
 */
export async function until<T>(
  ask: () => T | false | null | undefined | Promise<T | false | null | undefined>,
  {
    timeoutMs = 120_000,
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
