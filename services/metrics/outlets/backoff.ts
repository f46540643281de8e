/** The result of one try. `final`: no other try can succeed. `again`: the receiver has said when to come again. */
export type Outcome = { is: 'sent' } | { is: 'failed'; error: string; final?: true; againMs?: number }

const firstMs = 5000
const longestMs = 900_000
/** A message that could not be sent for so long has failed; it can be sent again by hand. */
const giveUpMs = 86_400_000

/** Time until the next try: it doubles from 5 s to 15 minutes. A receiver may ask for more, up to an hour. */
export const delayMs = (attempts: number, againMs = 0) =>
  Math.max(Math.min(firstMs * 2 ** (attempts - 1), longestMs), Math.min(againMs, 3_600_000))

/** The state of a delivery after a failed try, and the time of the next one. */
export function afterFailure(
  { attempts, madeAt }: { attempts: number; madeAt: number },
  { final, againMs }: Outcome & { is: 'failed' },
  now: number,
): { state: 'waiting' | 'failed'; nextAt: number } {
  const nextAt = now + delayMs(attempts, againMs)
  return { state: final || nextAt - madeAt > giveUpMs ? 'failed' : 'waiting', nextAt }
}

/** Reads an answer: 4xx is final, except those that say "later". */
export function outcomeOf(status: number, retryAfter: string | null, now: number): Outcome {
  if (status >= 200 && status < 300) return { is: 'sent' }
  const error = `The receiver answered ${status}`
  const isLater = status === 408 || status === 425 || status === 429 || status >= 500
  if (!isLater) return { is: 'failed', error, final: true }
  const again = retryAfterMs(retryAfter, now)
  return { is: 'failed', error, ...(again !== undefined && { againMs: again }) }
}

/** `Retry-After`: seconds, or a date (RFC 9110 10.2.3). */
function retryAfterMs(text: string | null, now: number): number | undefined {
  if (text === null) return undefined
  if (/^\d{1,9}$/.test(text.trim())) return Number(text) * 1000
  const date = Date.parse(text)
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}
