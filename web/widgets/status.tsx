import { told } from '../words/words.ts'

const tones: Record<string, string> = {
  running: 'good',
  enabled: 'good',
  yes: 'good',
  online: 'good',
  active: 'good',
  ok: 'good',
  succeeded: 'good',
  ready: 'good',
  attached: 'good',
  success: 'good',
  confirmed: 'good',
  healthy: 'good',
  fresh: 'good',
  completed: 'good',
  possible: 'good',
  runs: 'good',
  moved: 'good',
  restarted: 'wait',
  waits: 'wait',
  down: 'bad',
  preparing: 'wait',
  transferring: 'wait',
  syncing: 'wait',
  finalizing: 'wait',
  impossible: 'bad',
  holding_off: 'wait',
  suspect: 'wait',
  isolated: 'bad',
  lost: 'bad',
  paused: 'wait',
  pending: 'wait',
  queued: 'wait',
  cancelling: 'wait',
  creating: 'wait',
  deleting: 'wait',
  waiting: 'wait',
  low: 'wait',
  warning: 'wait',
  accepted: 'wait',
  degraded: 'wait',
  stale: 'wait',
  receiving: 'wait',
  completing: 'wait',
  starting: 'wait',
  unknown: 'bad',
  offline: 'bad',
  failed: 'bad',
  firing: 'bad',
  critical: 'bad',
  unreachable: 'bad',
  missing: 'bad',
  foreign: 'bad',
  denied: 'bad',
  failure: 'bad',
  needs_attention: 'bad',
  unhealthy: 'bad',
}

/** A state as a word with a mark of its own shape: never by colour alone. */
export function Status({ value, reason }: { value: string; reason?: string | null }) {
  return (
    <span class={`status ${tones[value] ?? 'calm'}`} title={reason ?? undefined}>
      <i aria-hidden="true" />
      {told('status', value)}
    </span>
  )
}

export const Tag = ({ text }: { text: string }) => <span class="tag">{text}</span>

/** A bar of a part in a whole, with its words beside it. */
export function Meter({ part, whole, label, text }: { part: number; whole: number; label: string; text?: string }) {
  const share = whole > 0 ? Math.min(1, part / whole) : 0
  return (
    <span class="meter">
      <meter min={0} max={1} low={0.8} high={0.92} optimum={0} value={share} aria-label={label} />
      {text && <span class="num">{text}</span>}
    </span>
  )
}
