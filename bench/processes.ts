import { readdir, readFile } from 'node:fs/promises'

/** Clock ticks a second in /proc: USER_HZ, 100 on every Linux. */
const ticksPerSecond = 100

/** A process and its threads as /proc shows them. */
export type Sample = { pid: number; rssMb: number; pssMb: number; cpuSeconds: number; threads: number }

/** Reads memory and CPU time of a process. `pssMb` counts a page that several processes share as a part for each. */
export async function sampleOf(pid: number): Promise<Sample> {
  const [rollup, stat] = await Promise.all([
    readFile(`/proc/${pid}/smaps_rollup`, 'utf8'),
    readFile(`/proc/${pid}/stat`, 'utf8'),
  ])
  const kiB = (name: string) => Number(new RegExp(`^${name}: +(\\d+) kB`, 'm').exec(rollup)?.[1])
  // After the name, which may have blanks and ends with the last bracket (man 5 proc).
  const fields = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number)
  return {
    pid,
    rssMb: kiB('Rss') / 1024,
    pssMb: kiB('Pss') / 1024,
    cpuSeconds: (fields[11]! + fields[12]!) / ticksPerSecond,
    threads: fields[17]!,
  }
}

/** Finds a process's children by the words of their command lines. */
export async function childrenOf(parent: number): Promise<Map<number, string>> {
  const found = new Map<number, string>()
  for (const name of await readdir('/proc')) {
    const pid = Number(name)
    if (!Number.isInteger(pid)) continue
    // A process may end while its files are read.
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
    if (Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) !== parent) continue
    const words = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    found.set(pid, words.replaceAll('\0', ' '))
  }
  return found
}
