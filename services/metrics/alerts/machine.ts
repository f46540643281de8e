import type { Rule } from '#shared/contracts/metrics/alert-parts.ts'

/** The judgement of one value: `open` beyond the threshold, `closed` beyond the one that ends an alert. */
export type Verdict = 'open' | 'between' | 'closed' | 'missing'

type Thresholds = { above?: number; below?: number; clear?: number }

/** Judges a value by the thresholds of a condition; null is missing. */
export function verdictOf(value: number | null, { above, below, clear }: Thresholds): Verdict {
  if (value === null) return 'missing'
  if (above !== undefined) {
    if (value > above) return 'open'
    return value > (clear ?? above) ? 'between' : 'closed'
  }
  if (below === undefined) return 'closed'
  if (value < below) return 'open'
  return value < (clear ?? below) ? 'between' : 'closed'
}

/** The state of one rule for one subject. Times are milliseconds since 1970. */
export type State =
  | { phase: 'ok' }
  | { phase: 'pending'; since: number }
  /** `closedSince`: since when the condition does not hold; null while it does. */
  | { phase: 'firing'; since: number; closedSince: number | null }

type Patience = Pick<Rule, 'for' | 'keep_firing_for' | 'missing'>

/**
 * The next state. An alert fires when its condition has held for all of `for`, and is resolved (`ok`) when it has not held
 * for all of `keep_firing_for`. A missing value leaves the state as it is, unless the rule says otherwise.
 */
export function next(state: State, verdict: Verdict, rule: Patience, now: number): State {
  if (verdict === 'missing') {
    if (rule.missing === 'keep') return state
    return next(state, rule.missing === 'alert' ? 'open' : 'closed', rule, now)
  }
  if (state.phase === 'firing') return whileFiring(state, verdict, rule, now)
  if (verdict !== 'open') return { phase: 'ok' }
  const since = state.phase === 'pending' ? state.since : now
  return now - since >= rule.for * 1000
    ? { phase: 'firing', since: now, closedSince: null }
    : { phase: 'pending', since }
}

function whileFiring(
  state: State & { phase: 'firing' },
  verdict: Verdict,
  { keep_firing_for }: Patience,
  now: number,
): State {
  if (verdict !== 'closed') return state.closedSince === null ? state : { ...state, closedSince: null }
  const closedSince = state.closedSince ?? now
  return now - closedSince >= keep_firing_for * 1000 ? { phase: 'ok' } : { ...state, closedSince }
}

/** The message that is due: of an alert that fires and was not announced, or was resolved after it was. */
export function dueMessage(
  phase: 'pending' | 'firing' | 'resolved',
  announced: 'nothing' | 'triggered' | 'resolved',
): 'triggered' | 'resolved' | null {
  if (phase === 'firing' && announced === 'nothing') return 'triggered'
  return phase === 'resolved' && announced === 'triggered' ? 'resolved' : null
}
