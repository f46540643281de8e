import { existsSync, readFileSync, readdirSync } from 'node:fs'

/** When a process was started, in clock ticks since boot (proc(5), stat, field 22); null when there is none. */
export function startTime(pid: number): string | null {
  if (!existsSync(`/proc/${pid}/stat`)) return null
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  // The program's name, in parentheses, may hold spaces and parentheses.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null
}

/** Ids of the processes whose command line holds `text`, on this machine and on the lab's hosts, which run on it. */
export function processesWith(text: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && commandLine(Number(name)).includes(text))
    .map(Number)
}

/** A process's arguments, parted by spaces; empty when it has gone. */
export function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
  } catch {
    return ''
  }
}
