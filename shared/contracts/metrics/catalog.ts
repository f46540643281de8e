/**
 * The metrics of each kind of subject. A column is stored as it was measured; a series is what the API answers: a gauge
 * column as it is, or the rate of a counter column.
 */
export const subjectKinds = ['nodes', 'vms', 'containers'] as const
export type SubjectKind = (typeof subjectKinds)[number]

type Column = {
  /** A counter only grows, except when the measured thing restarts. */
  kind: 'gauge' | 'counter'
  unit: string
  does: string
}

const gauge = (unit: string, does: string): Column => ({ kind: 'gauge', unit, does })
const counter = (unit: string, does: string): Column => ({ kind: 'counter', unit, does })

const traffic = {
  disk_read_bytes: counter('bytes', 'Read from disks'),
  disk_written_bytes: counter('bytes', 'Written to disks'),
  disk_reads: counter('', 'Read requests of disks'),
  disk_writes: counter('', 'Write requests of disks'),
  network_received_bytes: counter('bytes', 'Received from networks'),
  network_sent_bytes: counter('bytes', 'Sent to networks'),
}

/** The order is that of the stored columns: new ones go to the end. */
export const columns = {
  nodes: {
    up: gauge('', '1 if the node answered, 0 if not'),
    cpus: gauge('', 'Processors that are online'),
    cpu_user_seconds: counter('seconds', 'Processor time of programs, with that of guests'),
    cpu_system_seconds: counter('seconds', 'Processor time of the kernel, with interrupts'),
    cpu_iowait_seconds: counter('seconds', 'Processors were idle while disks worked'),
    cpu_steal_seconds: counter('seconds', 'Processor time that the hypervisor of this node took'),
    cpu_idle_seconds: counter('seconds', 'Processors were idle'),
    cpu_busy_seconds: counter('seconds', 'User, system and steal together'),
    memory_total_bytes: gauge('bytes', 'Memory of the node'),
    memory_free_bytes: gauge('bytes', 'Memory in no use at all'),
    memory_available_bytes: gauge('bytes', 'Memory that programs can still get, by the estimate of the kernel'),
    memory_buffers_bytes: gauge('bytes', 'Buffers of block devices'),
    memory_cached_bytes: gauge('bytes', 'Page cache'),
    swap_total_bytes: gauge('bytes', 'Swap space'),
    swap_free_bytes: gauge('bytes', 'Swap space in no use'),
    load_1: gauge('', 'Load average of one minute'),
    load_5: gauge('', 'Load average of five minutes'),
    load_15: gauge('', 'Load average of fifteen minutes'),
    ...traffic,
    filesystem_size_bytes: gauge('bytes', "Size of the file system of Horcrux's folder on the node"),
    filesystem_available_bytes: gauge('bytes', 'Space in it that an ordinary user can still write'),
    uptime_seconds: gauge('seconds', 'Time since the boot'),
    clock_skew_seconds: gauge('seconds', "The node's clock less that of Horcrux, to a second"),
  },
  vms: {
    up: gauge('', '1 if the guest runs, 0 if not'),
    vcpus: gauge('', 'Virtual processors'),
    cpu_seconds: counter('seconds', 'Processor time of the guest, with that of its hypervisor process'),
    memory_bytes: gauge('bytes', 'Memory that the guest has been given'),
    memory_used_bytes: gauge('bytes', 'Memory in use by the count of the guest; only its balloon driver knows'),
    memory_rss_bytes: gauge('bytes', 'Memory that the guest takes of the node'),
    ...traffic,
  },
  containers: {
    up: gauge('', '1 if the container runs, 0 if not'),
    cpus: gauge('', 'Processors that it may use: its limit, else those of the node'),
    cpu_seconds: counter('seconds', 'Processor time of all its processes'),
    cpu_throttled_seconds: counter('seconds', 'Time in which its processes waited because of the limit of processors'),
    memory_bytes: gauge('bytes', 'Memory that it may use: its limit, else that of the node'),
    memory_used_bytes: gauge('bytes', 'Memory in use, without the page cache that is reclaimed first'),
    memory_rss_bytes: gauge('bytes', 'Memory of its processes that no file backs'),
    pids: gauge('', 'Processes and threads'),
    oom_kills: counter('processes', 'Processes that were killed for lack of memory'),
    ...traffic,
  },
} as const satisfies Record<SubjectKind, Record<string, Column>>

export type ColumnOf<K extends SubjectKind> = keyof (typeof columns)[K] & string
export const columnNames = <K extends SubjectKind>(kind: K) => Object.keys(columns[kind]) as ColumnOf<K>[]

export type Series = {
  unit: string
  does: string
  column: string
  /** The growth of the column for each second. */
  isRate: boolean
  /** Percent: the value is divided by this column and multiplied by 100. */
  share?: string
  /** The share that is left over: 100 less it. */
  isRest?: boolean
}

/** Names of rates end like their unit: `disk_read_bytes_per_second`. */
function plainSeries(kind: SubjectKind): Record<string, Series> {
  const all: Record<string, Column> = columns[kind]
  return Object.fromEntries(
    Object.entries(all).map(([column, { kind: of, unit, does }]) =>
      of === 'gauge'
        ? [column, { unit, does, column, isRate: false }]
        : [`${column}_per_second`, { unit: `${unit || 'requests'}/s`, does, column, isRate: true }],
    ),
  )
}

const percent = (column: string, share: string, does: string, rest: Partial<Series> = {}): Series => ({
  unit: 'percent',
  does,
  column,
  isRate: false,
  share,
  ...rest,
})

/** Everything that has a history, by its name in the API. */
export const series: Record<SubjectKind, Record<string, Series>> = {
  nodes: {
    cpu_percent: percent('cpu_busy_seconds', 'cpus', 'Processors in use', { isRate: true }),
    memory_percent: percent('memory_available_bytes', 'memory_total_bytes', 'Memory in use', { isRest: true }),
    filesystem_percent: percent('filesystem_available_bytes', 'filesystem_size_bytes', 'File system in use', {
      isRest: true,
    }),
    ...plainSeries('nodes'),
  },
  vms: {
    cpu_percent: percent('cpu_seconds', 'vcpus', 'Virtual processors in use', { isRate: true }),
    memory_percent: percent('memory_used_bytes', 'memory_bytes', 'Memory in use by the count of the guest'),
    ...plainSeries('vms'),
  },
  containers: {
    cpu_percent: percent('cpu_seconds', 'cpus', 'Processors in use, of those that it may use', { isRate: true }),
    memory_percent: percent('memory_used_bytes', 'memory_bytes', 'Memory in use, of that which it may use'),
    ...plainSeries('containers'),
  },
}
