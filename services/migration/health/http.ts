import type { HttpCheck } from '#shared/contracts/migration/health.ts'
import type { Judged, Verdict } from './judge.ts'

const isExpected = (status: number, expected: number | undefined) =>
  expected === undefined ? status >= 200 && status < 300 : status === expected

/**
 * Sends the request of an HTTP check. Redirections are not followed, and the body is not read: nothing but the status of the
 * answer is told, since this machine reaches addresses that a caller may not.
 */
async function ask({ url, expected_status: expected }: HttpCheck, timeoutMs: number): Promise<Verdict> {
  try {
    const headers = { 'user-agent': 'Horcrux' }
    const answer = await fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(timeoutMs), headers })
    await answer.body?.cancel()
    return isExpected(answer.status, expected)
      ? { status: 'passed', reason: null }
      : { status: 'failed', reason: `it answered ${answer.status}, not ${expected ?? '200 to 299'}` }
  } catch (error) {
    const { name, message, cause } = error as Error
    if (name === 'TimeoutError') return { status: 'timeout', reason: `no answer within ${timeoutMs / 1000} s` }
    return { status: 'failed', reason: `it cannot be reached: ${(cause as Error | undefined)?.message ?? message}` }
  }
}

/** Runs an HTTP check. @param failedBefore its failure before the move; it says nothing of the move then */
export async function askHttp(check: HttpCheck, timeoutMs: number, failedBefore?: string): Promise<Judged> {
  const named = { name: check.url, is_critical: check.is_critical ?? true }
  if (failedBefore !== undefined)
    return { ...named, status: 'skipped', reason: `it failed before the move already: ${failedBefore}` }
  return { ...named, ...(await ask(check, timeoutMs)) }
}

/** The HTTP checks that fail now, with their reasons. */
export async function httpFailures(checks: HttpCheck[], timeoutMs: number) {
  const results = await Promise.all(checks.map((check) => askHttp(check, timeoutMs)))
  return results.flatMap(({ name: url, status, reason }) => (status === 'passed' ? [] : [{ url, reason: reason! }]))
}
