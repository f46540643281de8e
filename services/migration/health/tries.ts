import { setTimeout as delay } from 'node:timers/promises'
import type { HealthResult } from '#shared/contracts/migration/health.ts'
import type { Judged } from './judge.ts'

export type Tries = { timeoutMs: number; tries: number; retryMs: number }

const isGood = ({ status }: Pick<HealthResult, 'status'>) => status === 'passed' || status === 'skipped'

/**
 * Repeats checks that are read together until each has passed once, or the tries are used up.
 * @param ask reads all of them; it must answer within `timeoutMs` by itself
 */
export async function tryChecks(
  ask: (timeoutMs: number) => Promise<Judged[]>,
  { timeoutMs, tries, retryMs }: Tries,
  signal: AbortSignal,
): Promise<HealthResult[]> {
  const results = new Map<string, HealthResult>()
  for (let count = 1; ; count++) {
    const begin = performance.now()
    const judged = await ask(timeoutMs)
    const ms = Math.round(performance.now() - begin)
    for (const each of judged) {
      const known = results.get(each.name)
      if (!known || !isGood(known)) results.set(each.name, { ...each, ms, tries: count })
    }
    if (count >= tries || [...results.values()].every(isGood)) return [...results.values()]
    await delay(retryMs, undefined, { signal })
  }
}
