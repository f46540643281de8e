import { readdir, readFile } from 'node:fs/promises'

/** Clock ticks a second in /proc: USER_HZ, 100 on every Linux. */
const ticksPerSecond = 100

/** Memory of a process: its own pages, and the pages of each file that it maps (programs and libraries). */
export type Sample = { ownMb: number; filesMb: Map<string, number>; cpuSeconds: number; threads: number }

/** Reads memory and CPU time of a process. */
export async function sampleOf(pid: number): Promise<Sample> {
  const [maps, stat] = await Promise.all([
    readFile(`/proc/${pid}/smaps`, 'utf8'),
    readFile(`/proc/${pid}/stat`, 'utf8'),
  ])
  // The name of the program may have blanks; it ends with the last bracket (man 5 proc).
  const fields = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number)
  const cpuSeconds = (fields[11]! + fields[12]!) / ticksPerSecond
  return { ...memoryOf(maps), cpuSeconds, threads: fields[17]! }
}

function memoryOf(maps: string): Pick<Sample, 'ownMb' | 'filesMb'> {
  let ownMb = 0
  const filesMb = new Map<string, number>()
  for (const map of maps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)) {
    const file = /^\S+ \S+ \S+ \S+ \d+ +(\/.*)/.exec(map)?.[1]
    const kiB = (name: string) => Number(new RegExp(`^${name}: +(\\d+) kB`, 'm').exec(map)?.[1] ?? 0)
    ownMb += kiB('Anonymous') / 1024
    if (file) filesMb.set(file, (filesMb.get(file) ?? 0) + (kiB('Rss') - kiB('Anonymous')) / 1024)
  }
  return { ownMb, filesMb }
}

/** Memory of the files that processes map. A file that several of them map counts once. */
export function sharedFilesMb(samples: Sample[]): number {
  const largest = new Map<string, number>()
  for (const { filesMb } of samples)
    for (const [file, mb] of filesMb) largest.set(file, Math.max(mb, largest.get(file) ?? 0))
  return [...largest.values()].reduce((total, mb) => total + mb, 0)
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
