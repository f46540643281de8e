import type { FastifyReply } from 'fastify'
import { UnavailableError } from '#shared/errors.ts'

/** However much hangs behind it, a request that waits for nothing by itself is answered by then. Milliseconds. */
export const longestMs = 4800

/**
 * Waits for work until the request's deadline.
 * @param how.leastMs time for the work even when the request has taken long already
 * @param how.isChange the answer then says that the outcome is unknown
 * @throws UnavailableError when the work is not done by then
 */
export async function inTime<T>(
  reply: FastifyReply,
  work: Promise<T>,
  { leastMs = 0, isChange = false }: { leastMs?: number; isChange?: boolean } = {},
): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const leftMs = Math.max(leastMs, longestMs - reply.elapsedTime)
  const timer = setTimeout(
    () =>
      reject(
        new UnavailableError('The answer takes too long; it is not known how far it came', {
          retryAfterSeconds: 2,
          ...(isChange && { details: { outcome: 'unknown' } }),
        }),
      ),
    leftMs,
  )
  // It may still fail when nobody waits for it any more.
  work.catch(() => undefined)
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}
