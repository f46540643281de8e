import { AppError } from '#shared/errors.ts'
import type { Host } from '../host.ts'
import { type Controller, folderIn, type Hierarchies, hierarchiesOf } from './hierarchies.ts'

/** The group of a container in the hierarchy of a controller. `folder`: on the node. */
export type Place = { version: 1 | 2; folder: string }

/** The control groups of a container, by controller. A controller in which it has no group of its own is missing. */
export type Cgroup = Partial<Record<Controller, Place>>

const controllers: readonly Controller[] = ['memory', 'cpu', 'cpuacct', 'pids', 'freezer', 'blkio']

/** LXC's own group of a container: an init in it makes further groups below. */
const payload = /^(.*?\/lxc\.payload\.[^/]+).*$/

/**
 * Finds the groups in the text of /proc/PID/cgroup (cgroups(7)). Each controller is looked for by itself: on a hybrid,
 * some are in version 1 and others in version 2.
 * @returns null for a process that has no group of its own
 */
export function cgroupIn(text: string, { version1, version2 }: Hierarchies): Cgroup | null {
  const groups = new Map<string, string>()
  for (const line of text.split('\n')) {
    const [, names, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? []
    if (names === undefined || path === undefined) continue
    for (const name of names.split(',')) groups.set(name, path.replace(payload, '$1'))
  }
  const found: Cgroup = {}
  for (const controller of controllers) {
    const version = groups.has(controller) ? 1 : 2
    const hierarchy = version === 1 ? version1.get(controller) : version2
    const group = groups.get(version === 1 ? controller : '') ?? '/'
    const folder = hierarchy && group !== '/' ? folderIn(hierarchy, group) : null
    if (folder !== null) found[controller] = { version, folder }
  }
  return Object.keys(found).length > 0 ? found : null
}

/** The groups of a process; null when it is gone, or has none of its own. */
export async function cgroupOf(host: Host, pid: number): Promise<Cgroup | null> {
  const [text, hierarchies] = await Promise.all([textOf(host, `/proc/${pid}/cgroup`), hierarchiesOf(host)])
  return text === null ? null : cgroupIn(text, hierarchies)
}

/** A folder that has all processes of a container, in it and below it. */
export const processesFolderOf = ({ memory, pids, cpu }: Cgroup): string | null =>
  (memory ?? pids ?? cpu)?.folder ?? null

/** The content of a file of the kernel; null when it is not there, or has just gone. */
export async function textOf(host: Host, path: string): Promise<string | null> {
  try {
    return (await host.readFile(path)).toString('utf8').trim()
  } catch (error) {
    if (error instanceof AppError) return null
    throw error
  }
}
