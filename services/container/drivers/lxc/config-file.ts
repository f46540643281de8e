import { type Hierarchies, versionOf } from '#shared/nodes/host/cgroup/hierarchies.ts'
import { decodePath, encodePath } from '#shared/nodes/host/mount-table.ts'
import type { Definition } from '../driver.ts'

/** Characters that a line of LXC's configuration file cannot hold. */
const unwritable = ['\0', '\n', '\r']

/**
 * Writes one line of LXC's configuration. The parser (liblxc, confile.c) cuts blanks at both ends and takes off one pair
 * of equal quotes around the value, and nothing else: one pair of quotes keeps every value as it is.
 * @throws Error for a value with a line break or NUL, which the checks of the request refuse
 */
export function configLine(key: string, value: string): string {
  if (unwritable.some((char) => value.includes(char))) throw new Error(`A value of ${key} has a line break or NUL`)
  return `${key} = "${value}"`
}

/** The entries of a configuration file, with the parser's rules. */
export function parseConfig(text: string): [key: string, value: string][] {
  return text.split('\n').flatMap((line): [string, string][] => {
    const [, key, raw = ''] = /^\s*([^#\s=][^\s=]*)\s*=(.*)$/.exec(line) ?? []
    if (key === undefined) return []
    const value = raw.trim()
    const isQuoted = value.length >= 2 && (value[0] === '"' || value[0] === "'") && value.at(-1) === value[0]
    return [[key, isQuoted ? value.slice(1, -1) : value]]
  })
}

/** The first of the user ids on the node that those of a container are, and their number. */
export const idMap = { first: 100_000, count: 65_536 }

const mib = 2 ** 20
const periodMicros = 100_000

type Limits = Pick<Definition, 'memory' | 'cpus' | 'pids'>

/** The keys of limits: only those of the version that the node has a controller in have an effect. */
export function limitLines({ memory, cpus, pids }: Partial<Limits>, hierarchies: Hierarchies): [string, string][] {
  const lines: [string, string][] = []
  if (memory) {
    const key = { 1: 'lxc.cgroup.memory.limit_in_bytes', 2: 'lxc.cgroup2.memory.max' }
    lines.push([key[versionOf(hierarchies, 'memory')], String(memory * mib)])
  }
  if (cpus) {
    const [quota, period] = [Math.round(cpus * periodMicros), periodMicros].map(String) as [string, string]
    if (versionOf(hierarchies, 'cpu') === 2) lines.push(['lxc.cgroup2.cpu.max', `${quota} ${period}`])
    else lines.push(['lxc.cgroup.cpu.cfs_period_us', period], ['lxc.cgroup.cpu.cfs_quota_us', quota])
  }
  if (pids) {
    const key = { 1: 'lxc.cgroup.pids.max', 2: 'lxc.cgroup2.pids.max' }
    lines.push([key[versionOf(hierarchies, 'pids')], String(pids)])
  }
  return lines
}

/** The keys of all limits, in both versions. */
export const limitKey =
  /^lxc\.cgroup2?\.(memory\.(limit_in_bytes|max)|cpu\.(cfs_period_us|cfs_quota_us|max)|pids\.max)$/

export function limitsIn(entries: [string, string][]): Limits {
  const last = new Map(entries)
  const memory = Number(last.get('lxc.cgroup.memory.limit_in_bytes') ?? last.get('lxc.cgroup2.memory.max'))
  const [quota, period] = (last.get('lxc.cgroup2.cpu.max') ?? '').split(' ').map(Number)
  const cpuQuota = Number(last.get('lxc.cgroup.cpu.cfs_quota_us') ?? quota)
  const cpuPeriod = Number(last.get('lxc.cgroup.cpu.cfs_period_us') ?? period)
  const pids = Number(last.get('lxc.cgroup.pids.max') ?? last.get('lxc.cgroup2.pids.max'))
  return {
    memory: memory > 0 ? Math.round(memory / mib) : null,
    cpus: cpuQuota > 0 && cpuPeriod > 0 ? cpuQuota / cpuPeriod : null,
    pids: pids > 0 ? pids : null,
  }
}

/** The configuration of a new container: unprivileged, without a network until one is attached. */
export function configOf(definition: Definition, folder: string, hierarchies: Hierarchies): string {
  const { name, env, mounts } = definition
  const lines: [string, string][] = [
    ['lxc.rootfs.path', `dir:${folder}/rootfs`],
    ['lxc.uts.name', name],
    ['lxc.net.0.type', 'empty'],
    ['lxc.mount.auto', 'proc:mixed sys:mixed'],
    ['lxc.pty.max', '1024'],
    ['lxc.tty.max', '0'],
    ['lxc.console.logfile', `${folder}/console.log`],
    ['lxc.idmap', `u 0 ${idMap.first} ${idMap.count}`],
    ['lxc.idmap', `g 0 ${idMap.first} ${idMap.count}`],
    ...Object.entries(env).map(([key, value]): [string, string] => ['lxc.environment', `${key}=${value}`]),
    ...mounts.map(({ source, target, read_only }): [string, string] => [
      'lxc.mount.entry',
      `${encodePath(source)} ${encodePath(target.slice(1))} none bind,create=dir${read_only ? ',ro' : ''} 0 0`,
    ]),
    ...limitLines(definition, hierarchies),
  ]
  return `${lines.map(([key, value]) => configLine(key, value)).join('\n')}\n`
}

/** Bind mounts in a configuration. */
export const mountsIn = (entries: [string, string][]) =>
  entries
    .filter(([key]) => key === 'lxc.mount.entry')
    .map(([, value]) => value.split(/\s+/))
    .filter(([, , , options = '']) => /\bbind\b/.test(options))
    .map(([source = '', target = '', , options = '']) => ({
      type: 'bind',
      source: decodePath(source),
      target: `/${decodePath(target).replace(/^\/+/, '')}`,
      read_only: options.split(',').includes('ro'),
    }))
