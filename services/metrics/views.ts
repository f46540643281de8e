import { columns, type SubjectKind } from '#shared/contracts/metrics/catalog.ts'
import type {
  ContainerMeasured,
  NodeMeasured,
  VmMeasured,
  Watched,
  WatchedContainer,
} from '#shared/contracts/metrics/monitoring.ts'
import type { Reach } from '#shared/contracts/cluster/nodes.ts'
import { currentOf, toldRates } from './collect/current.ts'
import { containerProblemOf } from './collect/measure-containers.ts'
import { problemOf } from './collect/measure-guests.ts'
import type { SubjectName } from './history/chunks.ts'

const gaugesOf = (kind: SubjectKind) =>
  Object.entries(columns[kind]).flatMap(([name, { kind: of }]) => (of === 'gauge' ? [name] : []))

const shown: Record<SubjectKind, readonly string[]> = {
  nodes: [...toldRates, 'filesystem_percent', ...gaugesOf('nodes')],
  vms: [...toldRates, ...gaugesOf('vms')],
  containers: [...toldRates, ...gaugesOf('containers')],
}

function measured(subject: SubjectName, kind: SubjectKind, problem: string | null) {
  const now = Date.now()
  const { source, quality, time, values, missing, because } = currentOf(subject, now)
  const isShown = (name: string) => shown[kind].includes(name)
  return {
    source,
    age_seconds: time === null ? null : Math.max(0, now - time) / 1000,
    quality,
    missing: Object.fromEntries(Object.entries(missing).filter(([name]) => isShown(name))),
    reason: because ?? (quality === 'fresh' ? null : problem),
    timestamp: time === null ? null : new Date(time).toISOString(),
    ...Object.fromEntries(shown[kind].map((name) => [name, values[name] ?? null])),
  }
}

/** The newest numbers of a node. The names of the columns are those of the schema. */
export const nodeView = ({ id, name }: Reach): NodeMeasured =>
  ({ node_id: id, name, ...measured(`nodes/${id}`, 'nodes', null) }) as NodeMeasured

export const vmView = ({ id, name, node }: Watched): VmMeasured =>
  ({ vm_id: id, name, node, ...measured(`vms/${id}`, 'vms', problemOf(node)) }) as VmMeasured

export const containerView = ({ id, name, node, runtime }: WatchedContainer): ContainerMeasured =>
  ({
    container_id: id,
    name,
    node,
    runtime,
    ...measured(`containers/${id}`, 'containers', containerProblemOf(node)),
  }) as ContainerMeasured
