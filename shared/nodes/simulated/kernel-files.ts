import { activityOf, fraction, ranSeconds } from './activity.ts'
import type { SimulatedContainer, SimulatedNode, World } from './world.ts'

const kib = 1024
const mib = 2 ** 20
/** Clock ticks of proc(5). */
const ticksPerSecond = 100
/** The nodes of a simulation have run since then. */
const bootedAt = Date.UTC(2026, 0, 1) / 1000

/** The text of a file of the kernel on a node of the simulation; null for any other path. Sources: proc(5), cgroup v2. */
export function textOf(world: World, id: string, path: string): string | null {
  const node = world.nodes.get(id, id)
  if (!node) return null
  return ofNode(world, node, path) ?? ofContainer(world, node, path)
}

function ofNode(world: World, node: SimulatedNode, path: string): string | null {
  switch (path) {
    case '/proc/version':
      return 'Linux version 6.12.0-simulated'
    case '/proc/sys/kernel/osrelease':
      return '6.12.0-simulated\n'
    case '/proc/sys/kernel/hostname':
      return `${node.id}\n`
    case '/proc/sys/kernel/random/boot_id':
      return `${node.id}\n`
    case '/proc/self/mountinfo':
      return '30 24 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec shared:4 - cgroup2 cgroup2 rw\n'
    case '/proc/cpuinfo':
      return Array.from(
        { length: node.cpus },
        (_, index) => `processor\t: ${index}\nmodel name\t: Simulated\nflags\t\t: svm\n`,
      ).join('\n')
    case '/proc/meminfo':
      return meminfo(world, node)
    case '/proc/stat':
      return stat(node)
    case '/proc/loadavg':
      return loadavg(node)
    case '/proc/uptime':
      return `${uptime().toFixed(2)} 0.00\n`
    case '/proc/diskstats':
      return diskstats(node)
    case '/proc/net/dev':
      return networkOf(node.id, 'eth0', uptime(), 20)
    default:
      return null
  }
}

const uptime = () => Date.now() / 1000 - bootedAt
const activity = (node: SimulatedNode, seconds: number) =>
  activityOf(node.id, seconds, { cpus: node.cpus, memoryBytes: node.memory_mib * mib })

function stat(node: SimulatedNode): string {
  const seconds = uptime()
  const busy = activity(node, seconds).cpu_seconds * ticksPerSecond
  const idle = node.cpus * seconds * ticksPerSecond - busy
  const fields = [busy * 0.85, 0, busy * 0.15, idle, 0, 0, 0, 0].map((ticks) => Math.round(ticks)).join(' ')
  const each = Array.from({ length: node.cpus }, (_, index) => `cpu${index} 0 0 0 0 0 0 0 0`).join('\n')
  return `cpu  ${fields}\n${each}\nbtime ${bootedAt}\n`
}

function meminfo(world: World, { id, memory_mib }: SimulatedNode): string {
  const taken = world.guests
    .all(id)
    .filter(({ status }) => status !== 'stopped')
    .reduce((sum, guest) => sum + guest.current.memory, 4096)
  const free = Math.max(memory_mib - taken, memory_mib * 0.02)
  const line = (name: string, value: number) => `${name}: ${Math.round(value * kib)} kB\n`
  return [
    line('MemTotal', memory_mib),
    line('MemFree', free * 0.6),
    line('MemAvailable', free),
    line('Buffers', 512),
    line('Cached', free * 0.3),
    line('SwapTotal', 0),
    line('SwapFree', 0),
  ].join('')
}

/** The processors in use during the last so many seconds. */
function loadavg(node: SimulatedNode): string {
  const seconds = uptime()
  const now = activity(node, seconds).cpu_seconds
  const loads = [60, 300, 900].map((ago) => ((now - activity(node, seconds - ago).cpu_seconds) / ago).toFixed(2))
  return `${loads.join(' ')} 1/900 1000\n`
}

function diskstats(node: SimulatedNode): string {
  const all = activity(node, uptime())
  const sectors = (bytes: number) => Math.round((bytes * 20) / 512)
  return `   8       0 sda ${all.disk_reads} 0 ${sectors(all.disk_read_bytes)} 0 ${all.disk_writes} 0 ${sectors(all.disk_written_bytes)} 0 0 0 0\n`
}

function networkOf(id: string, name: string, seconds: number, times: number): string {
  const { network_received_bytes: received, network_sent_bytes: sent } = activityOf(id, seconds, {
    cpus: 1,
    memoryBytes: 0,
  })
  return `Inter-|   Receive  |  Transmit\n face |bytes |bytes\n  ${name}: ${received * times} 0 0 0 0 0 0 0 ${sent * times} 0 0 0 0 0 0 0\n`
}

const cgroups = '/sys/fs/cgroup/simulated/'

/** Files of a container: below /proc/PID, and in its control group of version 2. */
function ofContainer(world: World, node: SimulatedNode, path: string): string | null {
  const [, pid, process] = /^\/proc\/(\d+)\/(.+)$/.exec(path) ?? []
  if (pid !== undefined) {
    const found = world.containers.all(node.id).find((each) => each.pid === Number(pid))
    return found ? ofProcess(found, process!) : null
  }
  if (!path.startsWith(cgroups)) return null
  const [id = '', file = ''] = path.slice(cgroups.length).split('/')
  const found = world.containers.get(node.id, id)
  return found?.pid ? ofGroup(found, node, file) : null
}

function ofProcess(container: SimulatedContainer, file: string): string | null {
  if (file === 'cgroup') return `0::${cgroups.slice('/sys/fs/cgroup'.length)}${container.id}\n`
  if (file === 'net/dev') return networkOf(container.id, 'eth0', ranSeconds(container, Date.now()), 1)
  // Field 22 is the start; the runs tell one from another.
  if (file === 'stat') return `${container.pid} (simulated) S ${'0 '.repeat(18)}${container.runs} 0 0\n`
  return null
}

function ofGroup(container: SimulatedContainer, node: SimulatedNode, file: string): string | null {
  const { id, memory, cpus, pids } = container
  const seconds = ranSeconds(container, Date.now())
  const limits = { cpus: Math.min(cpus ?? 2, node.cpus), memoryBytes: (memory ?? 512) * mib }
  const all = activityOf(id, seconds, limits)
  switch (file) {
    case 'cpu.stat':
      return `usage_usec ${Math.round(all.cpu_seconds * 1e6)}\nthrottled_usec ${Math.round(all.cpu_seconds * 1e4)}\n`
    case 'memory.current':
      return `${all.memory_used_bytes}\n`
    case 'memory.stat':
      return `anon ${Math.round(all.memory_used_bytes * 0.8)}\ninactive_file 0\n`
    case 'memory.events':
      return 'oom_kill 0\n'
    case 'memory.max':
      return memory === null ? 'max\n' : `${memory * mib}\n`
    case 'cpu.max':
      return cpus === null ? 'max 100000\n' : `${Math.round(cpus * 100_000)} 100000\n`
    case 'pids.max':
      return pids === null ? 'max\n' : `${pids}\n`
    case 'pids.current':
      return `${1 + Math.round(40 * fraction(id, 'pids'))}\n`
    case 'io.stat':
      return `8:0 rbytes=${all.disk_read_bytes} wbytes=${all.disk_written_bytes} rios=${all.disk_reads} wios=${all.disk_writes}\n`
    default:
      return null
  }
}
