import { type Cgroup, cgroupOf } from '#shared/nodes/host/cgroup/cgroup.ts'
import { oomKillsOf } from '#shared/nodes/host/cgroup/limits.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import type { ContainerRecord } from '../model.ts'

/** The fields of a record that are compared with the kernel's counter. */
type Counted = Pick<ContainerRecord, 'pid' | 'oom_kills'>

/** The control groups of running containers, by host and first process. */
const known = new WeakMap<Host, Map<number, Cgroup>>()
/** Processes that are gone are forgotten when there are more than this. */
const most = 2000

/**
 * Containers of a node in which processes were killed for lack of memory since their records were written. Most engines
 * have no event of it: the kernel's counter is read.
 */
export async function killedOf<T extends Counted>(host: Host, records: readonly T[]): Promise<T[]> {
  const groups = known.get(host) ?? new Map<number, Cgroup>()
  known.set(host, groups)
  if (groups.size > most) groups.clear()
  const found: T[] = []
  for (const record of records) {
    const { pid, oom_kills } = record
    if (pid === null) continue
    const group = groups.get(pid) ?? (await cgroupOf(host, pid))
    if (!group) continue
    groups.set(pid, group)
    const kills = await oomKillsOf(host, group)
    if (kills === null) groups.delete(pid)
    else if (kills > oom_kills) found.push(record)
  }
  return found
}
