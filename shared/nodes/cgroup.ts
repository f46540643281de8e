import { AppError } from '#shared/errors.ts'
import type { Host } from './host/host.ts'

const root = '/sys/fs/cgroup'
const mib = 2 ** 20

/** The control groups of a container, found by its first process. Both versions; version 1 wins where both are mounted. */
export type Cgroup = {
  version: 1 | 2
  /** The folder of a controller, on the node. */
  folderOf: (controller: 'memory' | 'cpu' | 'cpuacct' | 'pids' | 'freezer' | 'blkio') => string
}

/** Limits as the kernel has them; null is no limit. */
export type KernelLimits = { memory: number | null; cpus: number | null; pids: number | null }

/** LXC's own group of a container: an init in it makes further groups below. */
const payload = /^(.*?\/lxc\.payload\.[^/]+).*$/

/**
 * Finds the groups in the text of /proc/PID/cgroup (cgroups(7)).
 * @returns null for a text that names no group of its own
 */
export function cgroupIn(text: string): Cgroup | null {
  const paths = new Map<string, string>()
  for (const line of text.split('\n')) {
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? []
    if (controllers === undefined || path === undefined) continue
    for (const controller of controllers.split(',')) paths.set(controller, path.replace(payload, '$1'))
  }
  const memory = paths.get('memory')
  if (memory !== undefined && memory !== '/')
    return { version: 1, folderOf: (controller) => `${root}/${controller}${paths.get(controller) ?? memory}` }
  const unified = paths.get('')
  if (memory === undefined && unified !== undefined && unified !== '/')
    return { version: 2, folderOf: () => `${root}${unified}` }
  return null
}

/** The groups of a process; null when it is gone. */
export async function cgroupOf(host: Host, pid: number): Promise<Cgroup | null> {
  const text = await textOf(host, `/proc/${pid}/cgroup`)
  return text === null ? null : cgroupIn(text)
}

/** The content of a file of the kernel; null when it is not there, or has just gone. */
async function textOf(host: Host, path: string): Promise<string | null> {
  try {
    return (await host.readFile(path)).toString('utf8').trim()
  } catch (error) {
    if (error instanceof AppError) return null
    throw error
  }
}

/** Version 1 says "no limit" with the largest multiple of a page, version 2 with `max`. */
function memoryLimitIn(text: string | null): number | null {
  const bytes = Number(text ?? 'max')
  return Number.isFinite(bytes) && bytes < 2 ** 60 ? Math.round(bytes / mib) : null
}

const pidsLimitIn = (text: string | null) => (text === null || text === 'max' ? null : Number(text))

/** `quota period`, both in microseconds; the quota is -1 or `max` without a limit. */
function cpusIn(text: string | null): number | null {
  const [quota = NaN, period = NaN] = (text ?? '').split(/\s+/).map(Number)
  return quota > 0 && period > 0 ? Math.round((quota / period) * 1000) / 1000 : null
}

/** @returns null when the group has gone */
export async function limitsOf(host: Host, { version, folderOf }: Cgroup): Promise<KernelLimits | null> {
  const read = (controller: Parameters<typeof folderOf>[0], file: string) =>
    textOf(host, `${folderOf(controller)}/${file}`)
  if (version === 2) {
    const [memory, cpu, pids] = await Promise.all([
      read('memory', 'memory.max'),
      read('cpu', 'cpu.max'),
      read('pids', 'pids.max'),
    ])
    if (memory === null && cpu === null && pids === null) return null
    return { memory: memoryLimitIn(memory), cpus: cpusIn(cpu), pids: pidsLimitIn(pids) }
  }
  const [memory, quota, period, pids] = await Promise.all([
    read('memory', 'memory.limit_in_bytes'),
    read('cpu', 'cpu.cfs_quota_us'),
    read('cpu', 'cpu.cfs_period_us'),
    read('pids', 'pids.max'),
  ])
  if (memory === null) return null
  return { memory: memoryLimitIn(memory), cpus: cpusIn(`${quota} ${period}`), pids: pidsLimitIn(pids) }
}

/** Number of processes that were killed for lack of memory since the group was made; null when it has gone. */
export async function oomKillsOf(host: Host, { version, folderOf }: Cgroup): Promise<number | null> {
  const file = version === 2 ? 'memory.events' : 'memory.oom_control'
  const text = await textOf(host, `${folderOf('memory')}/${file}`)
  const count = /^oom_kill (\d+)$/m.exec(text ?? '')?.[1]
  return count === undefined ? null : Number(count)
}

/** Memory that cannot be reclaimed, in MiB; null when the group has gone. */
export async function memoryUseOf(host: Host, { version, folderOf }: Cgroup): Promise<number | null> {
  const folder = folderOf('memory')
  const [usage, stat] = await Promise.all([
    textOf(host, `${folder}/${version === 2 ? 'memory.current' : 'memory.usage_in_bytes'}`),
    textOf(host, `${folder}/memory.stat`),
  ])
  const cache = version === 2 ? /^inactive_file (\d+)$/m : /^total_inactive_file (\d+)$/m
  const reclaimable = Number(cache.exec(stat ?? '')?.[1] ?? 0)
  return usage === null ? null : Math.max(0, Math.round((Number(usage) - reclaimable) / mib))
}
