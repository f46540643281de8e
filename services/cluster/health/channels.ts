import type { EngineState } from '#shared/contracts/cluster/nodes.ts'
import type { ChannelState, NodeHealth } from '#shared/contracts/cluster/node-health.ts'

/** A clock further off than this is a warning: TLS, tokens and logs of several hosts go wrong with it. */
const maxSkewMs = 1000
/** A skew that changes by less is not recorded again: the measurement itself is this inexact under load. */
const skewNoiseMs = 500

/** The outcome of one check. */
export type Found = Omit<ChannelState, 'since'>

const plain = { reason: null, changed_host_key: null, skew_ms: null }

/** A channel that is fine, or is not for this reason. */
export const found = (channel: Found['channel'], subject: string, failure: string | null): Found => ({
  ...plain,
  channel,
  subject,
  status: failure === null ? 'ok' : 'failed',
  reason: failure,
})

/** A channel that could not be checked. */
export const unasked = (channel: Found['channel'], subject: string, reason: string): Found => ({
  ...plain,
  channel,
  subject,
  status: 'unknown',
  reason,
})

/** The judgement of a clock. @param errorMs half of the time that the question took: the skew may be off by it */
export function clockOf(skewMs: number, errorMs: number): Found {
  const skew_ms = Math.round(skewMs)
  const state = { ...plain, channel: 'clock' as const, subject: 'clock', skew_ms }
  if (Math.abs(skewMs) - errorMs <= maxSkewMs) return { ...state, status: 'ok' }
  const [seconds, way] = [(Math.abs(skewMs) / 1000).toFixed(1), skewMs > 0 ? 'ahead of' : 'behind']
  return { ...state, status: 'warning', reason: `The clock is ${seconds} s ${way} the clock of Horcrux` }
}

/** The states to record: a channel whose status and reason are as before keeps its entry, with the time. */
export function recorded(before: ChannelState[], checks: Found[], at: string): ChannelState[] {
  return checks.map((check) => {
    const known = before.find(({ channel, subject }) => channel === check.channel && subject === check.subject)
    if (known && isSame(known, check)) return known
    return { ...check, since: known?.status === check.status ? known.since : at }
  })
}

function isSame(known: ChannelState, check: Found): boolean {
  if (known.status !== check.status) return false
  if (known.skew_ms !== null && check.skew_ms !== null) return Math.abs(known.skew_ms - check.skew_ms) < skewNoiseMs
  return (
    known.reason === check.reason &&
    known.skew_ms === check.skew_ms &&
    known.changed_host_key?.shown === check.changed_host_key?.shown &&
    known.changed_host_key?.pinned === check.changed_host_key?.pinned
  )
}

type Checked = NodeHealth['channels'][number]
/** The last check of a node: its time, and its age by the monotonic clock. */
export type LastCheck = { checked_at: string; age_seconds: number } | undefined

const statusOfEngine: Record<EngineState['status'], Checked['status']> = {
  online: 'ok',
  offline: 'failed',
  absent: 'absent',
  unknown: 'unknown',
}

/** The health of a node: its channels with the ages of their last checks, and the sum of them. */
export function healthFrom(
  {
    id,
    maintenance,
    channels,
    engines,
  }: {
    id: string
    maintenance: boolean
    channels: ChannelState[]
    engines: EngineState[]
  },
  lastOf: (channel: Checked['channel']) => LastCheck,
): NodeHealth {
  const ageOf = (channel: Checked['channel']) => lastOf(channel) ?? { checked_at: null, age_seconds: null }
  const ofEngines = engines.map(({ kind, status, reason, checked_at }): Checked => ({
    ...plain,
    channel: 'engine',
    subject: kind,
    status: statusOfEngine[status],
    reason,
    since: checked_at,
    ...ageOf('engine'),
  }))
  const all = [...channels.map((each): Checked => ({ ...each, ...ageOf(each.channel) })), ...ofEngines]
  return { id, status: sumOf(all), maintenance, channels: all }
}

function sumOf(channels: Checked[]): NodeHealth['status'] {
  const host = channels.find(({ channel }) => channel === 'host')
  if (!host || host.status === 'unknown') return 'unknown'
  if (host.status === 'failed') return 'failed'
  return channels.every(({ status }) => status === 'ok' || status === 'absent') ? 'ok' : 'warning'
}
