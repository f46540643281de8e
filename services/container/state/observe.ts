import { cgroupOf } from '#shared/nodes/host/cgroup/cgroup.ts'
import { limitsOf, oomKillsOf } from '#shared/nodes/host/cgroup/limits.ts'
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

/** The labels of Compose with the name of the project, and of its service. */
const projectLabels = ['com.docker.compose.project', 'io.podman.compose.project']
const serviceLabels = ['com.docker.compose.service', 'io.podman.compose.service']

const firstOf = (labels: Record<string, string>, names: string[]) =>
  names.map((label) => labels[label]).find((value) => value !== undefined) ?? null

/** Labels of a container that belongs to no project: Compose would take it for its own. */
export const withoutProject = (labels: Record<string, string>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(labels).filter(
      ([label]) => !projectLabels.some((own) => label.startsWith(own.replace(/project$/, ''))),
    ),
  )

export const projectOf = (labels: Record<string, string>) => firstOf(labels, projectLabels)
export const serviceOf = (labels: Record<string, string>) => firstOf(labels, serviceLabels)

/**
 * The fields of a record that change with an observation.
 * @param record its limits stay while it is stopped: then its engine may not know those of its next start
 */
export function fieldsOf(observed: Observed, record?: ContainerRecord) {
  const { oom_kills, oom_killed = false, memory, cpus, pids, created_at: _, ...seen } = observed
  const isOff = seen.pid === null
  const isNewRun = record !== undefined && seen.pid !== null && seen.pid !== record.pid
  const kept = isNewRun || !record ? 0 : record.oom_kills
  const keepsLimits = record?.managed === true && isOff
  return {
    ...seen,
    ...(keepsLimits ? { memory: record.memory, cpus: record.cpus, pids: record.pids } : { memory, cpus, pids }),
    ip: seen.networks.find(({ address }) => address !== null)?.address ?? null,
    stack: projectOf(seen.labels),
    oom_kills: oom_kills ?? kept,
    oom_killed: isOff && (oom_killed || record?.oom_killed === true),
  }
}
