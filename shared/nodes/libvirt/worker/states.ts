/** The states of a domain and why it is in them (virDomainState and its reasons, libvirt/libvirt-domain.h). */
const states = [
  'no_state',
  'running',
  'blocked',
  'paused',
  'shutting_down',
  'shut_off',
  'crashed',
  'pm_suspended',
] as const

export type DomainState = (typeof states)[number]

const reasons: Partial<Record<DomainState, readonly string[]>> = {
  running: [
    'unknown',
    'booted',
    'migrated',
    'restored',
    'from_snapshot',
    'unpaused',
    'migration_canceled',
    'save_canceled',
    'wakeup',
    'crashed',
    'postcopy',
    'postcopy_failed',
  ],
  paused: [
    'unknown',
    'user',
    'migration',
    'save',
    'dump',
    'io_error',
    'watchdog',
    'from_snapshot',
    'shutting_down',
    'snapshot',
    'crashed',
    'starting_up',
    'postcopy',
    'postcopy_failed',
  ],
  shutting_down: ['unknown', 'user'],
  shut_off: ['unknown', 'shutdown', 'destroyed', 'crashed', 'migrated', 'saved', 'failed', 'from_snapshot', 'daemon'],
  crashed: ['unknown', 'panicked'],
}

export type StateAndReason = { state: DomainState; reason: string }

/** libvirt's two numbers as words; a number newer than this table reads `no_state` or `unknown`. */
export const decodeState = (state: number, reason: number): StateAndReason => {
  const name = states[state] ?? 'no_state'
  return { state: name, reason: reasons[name]?.[reason] ?? 'unknown' }
}
