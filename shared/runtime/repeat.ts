import { log } from '#shared/runtime/log.ts'

/**
 * Repeats work in a period, never twice at once; a failure is logged, and the next turn follows.
 * @returns a function that stops it
 */
export function every(ms: number, work: () => Promise<unknown>, { part, failed }: { part: string; failed: string }) {
  let isAtWork = false
  const timer = setInterval(() => {
    if (isAtWork) return
    isAtWork = true
    work()
      .catch((error: Error) => log(part).warn({ err: error }, failed))
      .finally(() => (isAtWork = false))
  }, ms)
  return () => clearInterval(timer)
}
