import type { Cgroup } from '#shared/nodes/host/cgroup/cgroup.ts'
import type { Controller } from '#shared/nodes/host/cgroup/hierarchies.ts'

/** The files of a container's control groups and of its first process, by what they tell. */
export type StatFile =
  | 'cpu'
  | 'throttled'
  | 'memory'
  | 'memory_stat'
  | 'pids'
  | 'bytes'
  | 'requests'
  | 'oom'
  | 'network'
  | 'process'

/** Columns of containers in the metrics; a missing one was not measured. */
export type StatValues = {
  cpu_seconds?: number
  cpu_throttled_seconds?: number
  memory_used_bytes?: number
  memory_rss_bytes?: number
  pids?: number
  oom_kills?: number
  disk_read_bytes?: number
  disk_written_bytes?: number
  disk_reads?: number
  disk_writes?: number
  network_received_bytes?: number
  network_sent_bytes?: number
}

/** The file of each number in both versions, and the controller whose group has it. */
const groupFiles: Record<Exclude<StatFile, 'network' | 'process'>, { of: Controller; 1: string; 2: string }> = {
  cpu: { of: 'cpuacct', 1: 'cpuacct.usage', 2: 'cpu.stat' },
  throttled: { of: 'cpu', 1: 'cpu.stat', 2: 'cpu.stat' },
  memory: { of: 'memory', 1: 'memory.usage_in_bytes', 2: 'memory.current' },
  memory_stat: { of: 'memory', 1: 'memory.stat', 2: 'memory.stat' },
  pids: { of: 'pids', 1: 'pids.current', 2: 'pids.current' },
  bytes: { of: 'blkio', 1: 'blkio.throttle.io_service_bytes_recursive', 2: 'io.stat' },
  requests: { of: 'blkio', 1: 'blkio.throttle.io_serviced_recursive', 2: 'io.stat' },
  oom: { of: 'memory', 1: 'memory.oom_control', 2: 'memory.events' },
}

/** Paths of the files. A controller in which the container has no group of its own has none. */
export function statFilesOf(group: Cgroup, pid: number): [StatFile, string][] {
  const files = Object.entries(groupFiles) as [keyof typeof groupFiles, (typeof groupFiles)['cpu']][]
  const ofGroups = files.flatMap(([name, file]): [StatFile, string][] => {
    const place = group[file.of]
    return place ? [[name, `${place.folder}/${file[place.version]}`]] : []
  })
  return [...ofGroups, ['network', `/proc/${pid}/net/dev`], ['process', `/proc/${pid}/stat`]]
}

export type StatTexts = Partial<Record<StatFile, string>>

/** Digits only: `max` and an empty file are no number. */
const numberIn = (text: string | undefined): number | undefined =>
  text !== undefined && /^\d+$/.test(text.trim()) ? Number(text) : undefined

/** The number behind a key of a file with a key and a number in each line. */
function keyed(text: string | undefined, key: string): number | undefined {
  if (text === undefined) return undefined
  const begin = text.startsWith(`${key} `) ? 0 : text.indexOf(`\n${key} `) + 1
  if (begin === 0 && !text.startsWith(`${key} `)) return undefined
  const end = text.indexOf('\n', begin)
  return numberIn(text.slice(begin + key.length + 1, end < 0 ? undefined : end))
}

const times = (value: number | undefined, factor: number) => (value === undefined ? undefined : value * factor)
/** Seconds with six decimals, which stay exact for longer than a century. */
const rounded = (value: number | undefined) => (value === undefined ? undefined : Math.round(value * 1e6) / 1e6)

/** The start of a process in clock ticks after the boot: field 22 of proc(5), behind a name that may have blanks. */
export const startIn = (stat: string | undefined): string | null =>
  stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null

/** Sums over all interfaces but the loopback, of /proc/PID/net/dev. */
function trafficIn(text: string | undefined): { received: number; sent: number } | undefined {
  if (text === undefined) return undefined
  const rows = text.split('\n').flatMap((line) => {
    const [, name, rest] = /^\s*([^:|]+):\s*(.*)$/.exec(line) ?? []
    return name === undefined || name === 'lo' ? [] : [rest!.split(/\s+/).map(Number)]
  })
  const sum = (column: number) => rows.reduce((total, row) => total + (row[column] ?? 0), 0)
  return { received: sum(0), sent: sum(8) }
}

/** Sums over all devices: `8:0 Read 4096` in version 1, `8:0 rbytes=4096 wbytes=0 rios=1 wios=0` in version 2. */
function summed(text: string | undefined, pattern: RegExp): number | undefined {
  if (text === undefined) return undefined
  return [...text.matchAll(pattern)].reduce((total, [, value]) => total + Number(value), 0)
}

const io = {
  1: { read: /Read (\d+)/g, write: /Write (\d+)/g, reads: /Read (\d+)/g, writes: /Write (\d+)/g },
  2: { read: /rbytes=(\d+)/g, write: /wbytes=(\d+)/g, reads: /rios=(\d+)/g, writes: /wios=(\d+)/g },
}

/** @param sharesNetwork its interfaces are those of the node: their traffic is not the container's */
export function statValuesIn(group: Cgroup, texts: StatTexts, sharesNetwork: boolean): StatValues {
  const isOne = (controller: Controller) => group[controller]?.version === 1
  const used = numberIn(texts.memory)
  const cache = keyed(texts.memory_stat, isOne('memory') ? 'total_inactive_file' : 'inactive_file')
  const traffic = sharesNetwork ? undefined : trafficIn(texts.network)
  const patterns = io[isOne('blkio') ? 1 : 2]
  const all = {
    cpu_seconds: rounded(
      isOne('cpuacct') ? times(numberIn(texts.cpu), 1e-9) : times(keyed(texts.cpu, 'usage_usec'), 1e-6),
    ),
    cpu_throttled_seconds: rounded(
      isOne('cpu')
        ? times(keyed(texts.throttled, 'throttled_time'), 1e-9)
        : times(keyed(texts.throttled, 'throttled_usec'), 1e-6),
    ),
    // As docker stats counts it: without the part of the page cache that is reclaimed first.
    memory_used_bytes: used === undefined ? undefined : Math.max(0, used - (cache ?? 0)),
    memory_rss_bytes: keyed(texts.memory_stat, isOne('memory') ? 'total_rss' : 'anon'),
    pids: numberIn(texts.pids),
    oom_kills: keyed(texts.oom, 'oom_kill'),
    disk_read_bytes: summed(texts.bytes, patterns.read),
    disk_written_bytes: summed(texts.bytes, patterns.write),
    disk_reads: summed(texts.requests, patterns.reads),
    disk_writes: summed(texts.requests, patterns.writes),
    network_received_bytes: traffic?.received,
    network_sent_bytes: traffic?.sent,
  }
  // Exactly the fields that are not undefined are left.
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as StatValues
}
