import type { Host } from '../host.ts'
import { type Cgroup, type Place, textOf } from './cgroup.ts'

const mib = 2 ** 20

/** Limits as the kernel has them; null is no limit. */
export type KernelLimits = { memory: number | null; cpus: number | null; pids: number | null }

/** Reads the file that a version has; null when it is not there. */
const read = async (host: Host, place: Place | undefined, file: { 1: string; 2: string }): Promise<string | null> =>
  place ? textOf(host, `${place.folder}/${file[place.version]}`) : null

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

/** `quota period`: one file in version 2, two in version 1. */
async function cpuLimitOf(host: Host, place: Place | undefined): Promise<string | null> {
  if (place?.version !== 1) return read(host, place, { 1: '', 2: 'cpu.max' })
  const files = ['cpu.cfs_quota_us', 'cpu.cfs_period_us'].map((file) => textOf(host, `${place.folder}/${file}`))
  const texts = await Promise.all(files)
  return texts.includes(null) ? null : texts.join(' ')
}

/** @returns null when the groups have gone */
export async function limitsOf(host: Host, { memory, cpu, pids }: Cgroup): Promise<KernelLimits | null> {
  const [memoryText, cpuText, pidsText] = await Promise.all([
    read(host, memory, { 1: 'memory.limit_in_bytes', 2: 'memory.max' }),
    cpuLimitOf(host, cpu),
    read(host, pids, { 1: 'pids.max', 2: 'pids.max' }),
  ])
  if (memoryText === null && cpuText === null && pidsText === null) return null
  return { memory: memoryLimitIn(memoryText), cpus: cpusIn(cpuText), pids: pidsLimitIn(pidsText) }
}

/** Number of processes that were killed for lack of memory since the group was made; null when it has gone. */
export async function oomKillsOf(host: Host, { memory }: Cgroup): Promise<number | null> {
  const text = await read(host, memory, { 1: 'memory.oom_control', 2: 'memory.events' })
  const count = /^oom_kill (\d+)$/m.exec(text ?? '')?.[1]
  return count === undefined ? null : Number(count)
}

/** Memory that cannot be reclaimed, in MiB; null when the group has gone. */
export async function memoryUseOf(host: Host, { memory }: Cgroup): Promise<number | null> {
  const [usage, stat] = await Promise.all([
    read(host, memory, { 1: 'memory.usage_in_bytes', 2: 'memory.current' }),
    read(host, memory, { 1: 'memory.stat', 2: 'memory.stat' }),
  ])
  const cache = memory?.version === 2 ? /^inactive_file (\d+)$/m : /^total_inactive_file (\d+)$/m
  const reclaimable = Number(cache.exec(stat ?? '')?.[1] ?? 0)
  return usage === null ? null : Math.max(0, Math.round((Number(usage) - reclaimable) / mib))
}
