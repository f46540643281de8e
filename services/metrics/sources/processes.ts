import { setTimeout as delay } from 'node:timers/promises'
import type { Process } from '#shared/contracts/metrics/monitoring.ts'
import type { Host } from '#shared/nodes/host/host.ts'

const ticksPerSecond = 100
const pageBytes = 4096
const windowMs = 500

type Stat = Omit<Process, 'cpu_percent'>

/** Parses a line of /proc/PID/stat. The name may hold spaces and parentheses, so its end is the last one. */
export function statOf(line: string): Stat | undefined {
  const [begin, end] = [line.indexOf('('), line.lastIndexOf(')')]
  const pid = Number(line.slice(0, begin))
  const fields = line.slice(end + 2).split(' ')
  if (begin < 0 || end < begin || !Number.isInteger(pid) || fields.length < 22) return undefined
  // proc(5) counts from 1, and two fields are cut off: state is 3, utime 14, num_threads 20, starttime 22, rss 24.
  const number = (field: number) => Number(fields[field - 3])
  return {
    pid,
    started_ticks: number(22),
    name: line.slice(begin + 1, end),
    state: fields[0]!,
    cpu_seconds: (number(14) + number(15)) / ticksPerSecond,
    memory_rss_bytes: number(24) * pageBytes,
    threads: number(20),
  }
}

/** All processes of a host. One that ends meanwhile is left out. */
async function statsOf(host: Host): Promise<{ at: number; stats: Stat[] }> {
  const wanted = ['/proc', '-mindepth', '2', '-maxdepth', '2', '-path', '/proc/[0-9]*', '-name', 'stat']
  const { stdout } = await host.run('find', [...wanted, '-exec', 'cat', '{}', '+'], { timeoutMs: 5000 })
  const at = performance.now()
  return { at, stats: stdout.split('\n').flatMap((line) => statOf(line) ?? []) }
}

/** A process is identified by its pid and start: a pid is used again. */
const keyOf = ({ pid, started_ticks }: Stat) => `${pid} ${started_ticks}`

/** Measures the processes of a host for half a second. Those with the most processor time come first. */
export async function measureProcesses(host: Host): Promise<Process[]> {
  const first = await statsOf(host)
  await delay(windowMs)
  const second = await statsOf(host)
  const before = new Map(first.stats.map((stat) => [keyOf(stat), stat.cpu_seconds]))
  const seconds = (second.at - first.at) / 1000
  return second.stats
    .map((stat) => {
      const earlier = before.get(keyOf(stat))
      const used = earlier === undefined ? null : Math.max(0, stat.cpu_seconds - earlier)
      return { ...stat, cpu_percent: used === null ? null : (used / seconds) * 100 }
    })
    .toSorted((a, b) => (b.cpu_percent ?? 0) - (a.cpu_percent ?? 0) || a.pid - b.pid)
}
