import type { ColumnOf } from '#shared/contracts/metrics/catalog.ts'

/** The files of one measurement of a node. Sources: proc(5), Documentation/admin-guide/iostats.rst of the kernel. */
export const procFiles = {
  stat: '/proc/stat',
  meminfo: '/proc/meminfo',
  loadavg: '/proc/loadavg',
  uptime: '/proc/uptime',
  diskstats: '/proc/diskstats',
  network: '/proc/net/dev',
  boot: '/proc/sys/kernel/random/boot_id',
} as const
export type ProcFile = keyof typeof procFiles
export type ProcTexts = Partial<Record<ProcFile, string>>

export type NodeValues = Partial<Record<ColumnOf<'nodes'>, number>>

/** Clock ticks of proc(5); the kernel's interface has 100 on every architecture that Horcrux runs on. */
const ticksPerSecond = 100
const sectorBytes = 512

/** A number, or undefined for text and for what no counter can be. */
function numberOf(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d+(\.\d+)?$/.test(text)) return undefined
  const value = Number(text)
  return Number.isFinite(value) && value < 2 ** 64 - 1 ? value : undefined
}

/** The values of one measurement, without those whose file or line is missing. */
export function nodeValues(texts: ProcTexts): NodeValues {
  return {
    up: 1,
    ...(texts.stat !== undefined && cpuValues(texts.stat)),
    ...(texts.meminfo !== undefined && memoryValues(texts.meminfo)),
    ...(texts.loadavg !== undefined && loadValues(texts.loadavg)),
    ...(texts.diskstats !== undefined && diskValues(texts.diskstats)),
    ...(texts.network !== undefined && networkValues(texts.network)),
    ...(texts.uptime !== undefined && present({ uptime_seconds: numberOf(texts.uptime.split(' ')[0]) })),
  }
}

/** Drops the fields that are undefined. */
const present = (values: Record<string, number | undefined>): NodeValues =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined))

/** The time of guests is contained in `user`, so it is not added. */
function cpuValues(text: string): NodeValues {
  const line = /^cpu +(.*)$/m.exec(text)?.[1]
  if (line === undefined) return {}
  const [user, nice, system, idle, iowait, irq, softirq, steal] = line.trim().split(/ +/).map(numberOf)
  const seconds = (...ticks: (number | undefined)[]) => {
    const sum = ticks.reduce<number | undefined>((a, b) => (a === undefined || b === undefined ? undefined : a + b), 0)
    return sum === undefined ? undefined : sum / ticksPerSecond
  }
  return present({
    cpus: text.match(/^cpu\d+ /gm)?.length,
    cpu_user_seconds: seconds(user, nice),
    cpu_system_seconds: seconds(system, irq ?? 0, softirq ?? 0),
    cpu_iowait_seconds: seconds(iowait),
    cpu_steal_seconds: seconds(steal),
    cpu_idle_seconds: seconds(idle),
    cpu_busy_seconds: seconds(user, nice, system, irq ?? 0, softirq ?? 0, steal ?? 0),
  })
}

/** Seconds since 1970 of the boot, by the clock of the node. */
export const bootTimeIn = (stat: string | undefined): number | undefined =>
  numberOf(/^btime (\d+)$/m.exec(stat ?? '')?.[1])

function memoryValues(text: string): NodeValues {
  const bytes = (name: string) => {
    const kib = numberOf(new RegExp(`^${name}:\\s*(\\d+) kB$`, 'm').exec(text)?.[1])
    return kib === undefined ? undefined : kib * 1024
  }
  return present({
    memory_total_bytes: bytes('MemTotal'),
    memory_free_bytes: bytes('MemFree'),
    // Missing on kernels before 3.14. Free and cached memory is no estimate of it.
    memory_available_bytes: bytes('MemAvailable'),
    memory_buffers_bytes: bytes('Buffers'),
    memory_cached_bytes: bytes('Cached'),
    swap_total_bytes: bytes('SwapTotal'),
    swap_free_bytes: bytes('SwapFree'),
  })
}

function loadValues(text: string): NodeValues {
  const [one, five, fifteen] = text.split(' ').map(numberOf)
  return present({ load_1: one, load_5: five, load_15: fifteen })
}

/** Whole disks: no loop devices, RAM disks, optical and network block devices, partitions, or layers over other disks. */
const isWholeDisk = (name: string) =>
  /^(sd[a-z]+|vd[a-z]+|xvd[a-z]+|hd[a-z]+|nvme\d+n\d+|mmcblk\d+|dasd[a-z]+)$/.test(name)

function diskValues(text: string): NodeValues {
  const totals = { reads: 0, read: 0, writes: 0, written: 0 }
  for (const line of text.split('\n')) {
    const fields = line.trim().split(/ +/)
    if (fields.length < 14 || !isWholeDisk(fields[2]!)) continue
    totals.reads += numberOf(fields[3]) ?? 0
    totals.read += (numberOf(fields[5]) ?? 0) * sectorBytes
    totals.writes += numberOf(fields[7]) ?? 0
    totals.written += (numberOf(fields[9]) ?? 0) * sectorBytes
  }
  return {
    disk_reads: totals.reads,
    disk_read_bytes: totals.read,
    disk_writes: totals.writes,
    disk_written_bytes: totals.written,
  }
}

/** The node's own interfaces: no loopback, bridges, taps and the like, and of a bond only the bond. */
const isVirtual = (name: string) =>
  /^(lo|veth|vnet|tap|tun|macvtap|br|virbr|docker|cni|lxc|lxd|incus|podman|dummy|ifb|nm-|ovs|wg|flannel|cali|vxlan|geneve)/.test(
    name,
  ) || /[.@]/.test(name)

function networkValues(text: string): NodeValues {
  const found = text.split('\n').flatMap((line) => {
    const [, name, rest] = /^\s*([^:\s]+):\s*(.*)$/.exec(line) ?? []
    return name === undefined ? [] : [{ name, fields: rest!.trim().split(/ +/) }]
  })
  const bonds = found.filter(({ name }) => /^(bond|team)\d+$/.test(name))
  const own = bonds.length > 0 ? bonds : found.filter(({ name }) => !isVirtual(name))
  const sum = (field: number) => own.reduce((total, { fields }) => total + (numberOf(fields[field]) ?? 0), 0)
  return { network_received_bytes: sum(0), network_sent_bytes: sum(8) }
}

/** A processor time that falls by less than this is a rounding of the kernel; more is a hotplug of processors. */
const clampSeconds = 3
const clamped = [
  'cpu_user_seconds',
  'cpu_system_seconds',
  'cpu_iowait_seconds',
  'cpu_steal_seconds',
  'cpu_idle_seconds',
  'cpu_busy_seconds',
] as const

/** Keeps processor times from going back a little: idle and iowait do, see proc(5). Changes `values`. */
export function clampTimes(values: NodeValues, before: NodeValues | undefined): NodeValues {
  if (!before) return values
  for (const name of clamped) {
    const [now, last] = [values[name], before[name]]
    if (now !== undefined && last !== undefined && now < last && last - now < clampSeconds) values[name] = last
  }
  return values
}
