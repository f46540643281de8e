import type { Host } from '../host.ts'
import { type Mounted, mountsIn } from '../mount-table.ts'

/** Controllers by their names in version 1; version 2 has their files in the group's only folder. */
export type Controller = 'memory' | 'cpu' | 'cpuacct' | 'pids' | 'freezer' | 'blkio'

/** Place at which the kernel has mounted a hierarchy. `root`: the group that is at `path`; `/` but within a container. */
export type Hierarchy = Pick<Mounted, 'path' | 'root'>

/**
 * The hierarchies of control groups of a node (cgroups(7)). Version 1 has one for a controller or for several, by
 * controller here; version 2 has one. A hybrid has both: a controller is in one of them only.
 */
export type Hierarchies = { version1: Map<string, Hierarchy>; version2: Hierarchy | null }

/** Finds the hierarchies in the text of /proc/self/mountinfo. One that is mounted twice is taken where it came first. */
export function hierarchiesIn(mountinfo: string): Hierarchies {
  const version1 = new Map<string, Hierarchy>()
  let version2: Hierarchy | null = null
  for (const { path, root, type, options } of mountsIn(mountinfo)) {
    const hierarchy = { path, root }
    if (type === 'cgroup2') version2 ??= hierarchy
    if (type !== 'cgroup') continue
    for (const option of options) if (!version1.has(option)) version1.set(option, hierarchy)
  }
  return { version1, version2 }
}

const known = new WeakMap<Host, Promise<Hierarchies>>()

/** Reads the hierarchies of a node, once for each connection: they are mounted at its boot. */
export function hierarchiesOf(host: Host): Promise<Hierarchies> {
  const found = known.get(host)
  if (found) return found
  const read = host.readFile('/proc/self/mountinfo').then((text) => hierarchiesIn(text.toString('utf8')))
  known.set(host, read)
  read.catch(() => known.delete(host))
  return read
}

/** The version that a node has a controller in. */
export const versionOf = ({ version1 }: Hierarchies, controller: Controller): 1 | 2 =>
  version1.has(controller) ? 1 : 2

/** The folder of a group. @returns null for a group outside what is mounted */
export function folderIn({ path, root }: Hierarchy, group: string): string | null {
  if (root === '/') return `${path}${group}`
  return group.startsWith(`${root}/`) ? `${path}${group.slice(root.length)}` : null
}
