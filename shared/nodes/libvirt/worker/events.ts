/**
 * Domain events: their libvirt ids, C signatures and decoders (libvirt/libvirt-domain.h, virDomainEventID). A new kind
 * of event is a new line of `eventKinds` and its decoder.
 */
const lifecycles = [
  'defined',
  'undefined',
  'started',
  'suspended',
  'resumed',
  'stopped',
  'shutdown',
  'pmsuspended',
  'crashed',
] as const

type Lifecycle = (typeof lifecycles)[number]

const details: Record<Lifecycle, readonly string[]> = {
  defined: ['added', 'updated', 'renamed', 'from_snapshot'],
  undefined: ['removed', 'renamed'],
  started: ['booted', 'migrated', 'restored', 'from_snapshot', 'wakeup'],
  suspended: [
    'paused',
    'migrated',
    'io_error',
    'watchdog',
    'restored',
    'from_snapshot',
    'api_error',
    'postcopy',
    'postcopy_failed',
  ],
  resumed: ['unpaused', 'migrated', 'from_snapshot', 'postcopy', 'postcopy_failed'],
  stopped: ['shutdown', 'destroyed', 'crashed', 'migrated', 'saved', 'failed', 'from_snapshot'],
  shutdown: ['finished', 'guest', 'host'],
  pmsuspended: ['memory', 'disk'],
  crashed: ['panicked', 'crashloaded'],
}

const jobs = ['unknown', 'pull', 'copy', 'commit', 'active_commit', 'backup'] as const
const jobStatuses = ['completed', 'failed', 'canceled', 'ready'] as const

type Of = { uuid: string; name: string }
type LifecycleEvent = Of & { kind: 'lifecycle'; event: Lifecycle; detail: string }
export type DomainEvent =
  | LifecycleEvent
  | (Of & { kind: 'reboot' })
  | (Of & { kind: 'device_added' | 'device_removed' | 'device_removal_failed'; alias: string })
  | (Of & { kind: 'agent_lifecycle'; connected: boolean })
  | (Of & {
      kind: 'block_job'
      /** Target name such as `vda`. */
      disk: string
      job: (typeof jobs)[number]
      status: (typeof jobStatuses)[number]
    })
  | (Of & { kind: 'migration_iteration'; iteration: number })

export type EventKind = DomainEvent['kind']

/** The arguments between the domain and the opaque pointer: numbers for `int`, text for `const char *`. */
type Extra = readonly (number | string | null)[]
type KindOfEvent = {
  /** virDomainEventID. */
  id: number
  /** C types of the extra arguments. */
  extra: readonly ('int' | 'const char *')[]
  /** undefined for an event that has no meaning to Horcrux. */
  decode: (of: Of, extra: Extra) => DomainEvent | undefined
}

const device =
  (kind: 'device_added' | 'device_removed' | 'device_removal_failed') =>
  (of: Of, [alias]: Extra): DomainEvent => ({ ...of, kind, alias: String(alias) })

export const eventKinds: Record<EventKind, KindOfEvent> = {
  lifecycle: {
    id: 0,
    extra: ['int', 'int'],
    decode: (of, [event, detail]) => {
      const lifecycle = lifecycles[Number(event)]
      return (
        lifecycle && {
          ...of,
          kind: 'lifecycle',
          event: lifecycle,
          detail: details[lifecycle][Number(detail)] ?? 'unknown',
        }
      )
    },
  },
  reboot: { id: 1, extra: [], decode: (of) => ({ ...of, kind: 'reboot' }) },
  device_removed: { id: 15, extra: ['const char *'], decode: device('device_removed') },
  block_job: {
    id: 16,
    extra: ['const char *', 'int', 'int'],
    decode: (of, [disk, job, status]) => {
      const known = jobStatuses[Number(status)]
      return (
        known && { ...of, kind: 'block_job', disk: String(disk), job: jobs[Number(job)] ?? 'unknown', status: known }
      )
    },
  },
  agent_lifecycle: {
    id: 18,
    extra: ['int', 'int'],
    decode: (of, [state]) => ({ ...of, kind: 'agent_lifecycle', connected: state === 1 }),
  },
  device_added: { id: 19, extra: ['const char *'], decode: device('device_added') },
  migration_iteration: {
    id: 20,
    extra: ['int'],
    decode: (of, [iteration]) => ({ ...of, kind: 'migration_iteration', iteration: Number(iteration) }),
  },
  device_removal_failed: { id: 22, extra: ['const char *'], decode: device('device_removal_failed') },
}

/** All kinds. */
// The keys of a Record over EventKind are EventKinds.
export const allEventKinds = Object.keys(eventKinds) as EventKind[]
