import { cgroupOf, limitsOf, oomKillsOf } from '#shared/nodes/cgroup.ts'
import { reach } from '#shared/nodes/nodes.ts'
import type { Seen } from '../drivers/driver.ts'
import { driverOf } from '../drivers/drivers.ts'
import type { ContainerRecord } from '../model.ts'

/** A container as it is now: by its engine, and by its control group while it runs. */
export type Observed = Seen & { oom_kills: number | null }

export type Place = Pick<ContainerRecord, 'node' | 'runtime' | 'engine_id'>

/** @returns null for a container that is gone. @throws UnavailableError */
export async function observe(place: Place): Promise<Observed | null> {
  const seen = await driverOf(place).look(place)
  if (!seen) return null
  const { host } = await reach(place.node)
  const cgroup = seen.pid === null ? null : await cgroupOf(host, seen.pid)
  if (!cgroup) return { ...seen, oom_kills: null }
  // Podman's inspection does not follow a change of limits; the group has those that hold.
  const [limits, oom_kills] = await Promise.all([limitsOf(host, cgroup), oomKillsOf(host, cgroup)])
  return { ...seen, ...limits, oom_kills }
}

/** The label of Compose with the name of the project. */
const projectLabels = ['com.docker.compose.project', 'io.podman.compose.project']

/**
 * The fields of a record that change with an observation.
 * @param record its limits stay while it is stopped: then its engine may not know those of its next start
 */
export function fieldsOf(observed: Observed, record?: ContainerRecord) {
  const { oom_kills, memory, cpus, pids, created_at: _, ...seen } = observed
  const isNewRun = record !== undefined && seen.pid !== null && seen.pid !== record.pid
  const kept = isNewRun || !record ? 0 : record.oom_kills
  const keepsLimits = record?.managed === true && seen.pid === null
  return {
    ...seen,
    ...(keepsLimits ? { memory: record.memory, cpus: record.cpus, pids: record.pids } : { memory, cpus, pids }),
    ip: seen.networks.find(({ address }) => address !== null)?.address ?? null,
    stack: projectLabels.map((label) => seen.labels[label]).find((name) => name !== undefined) ?? null,
    oom_kills: oom_kills ?? kept,
  }
}
