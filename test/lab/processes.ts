import { existsSync, readFileSync } from 'node:fs'

/** When a process was started, in clock ticks since boot (proc(5), stat, field 22); null when there is none. */
export function startTime(pid: number): string | null {
  if (!existsSync(`/proc/${pid}/stat`)) return null
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  // The program's name, in parentheses, may hold spaces and parentheses.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null
}
