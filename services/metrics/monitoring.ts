import { localNode } from '#shared/contracts/common.ts'
import { type monitoring as contract, monitoring } from '#shared/contracts/metrics/monitoring.ts'
import { series as catalogue, subjectKinds } from '#shared/contracts/metrics/catalog.ts'
import type { Params } from '#shared/contract/contract.ts'
import { requireRight } from '#shared/access/require-right.ts'
import { invalid, notFound, ValidationError } from '#shared/errors.ts'
import { reach } from '#shared/nodes/nodes.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { implement } from '#shared/service/implement.ts'
import type { Fleet } from './collect/fleet.ts'
import { intervalOf as sampleIntervalOf, ringOf } from './collect/subjects.ts'
import { edgesOf, type Interval, intervalFor, intervalOf, mostBuckets } from './history/buckets.ts'
import { idOf, kindOf, type SubjectName, tiers } from './history/chunks.ts'
import { readHistory } from './history/query.ts'
import { listOf } from '#shared/db/list-of.ts'
import { measureProcesses } from './sources/processes.ts'
import { containerView, nodeView, vmView } from './views.ts'

let fleet: Fleet | undefined
/** The fleet that the answers are about, from the start of the service on. */
export const useFleet = (followed: Fleet): void => void (fleet = followed)

/** The fleet as it is now. A VM that was made a moment ago is in it. */
async function currentFleet(): Promise<Fleet> {
  await fleet!.refresh()
  return fleet!
}

export const monitoringService = implement(monitoring, {
  node: async () => nodeOf(localNode),
  nodeById: async ({ id }) => nodeOf(id),
  nodes: async (query, { maySee }) => {
    const { nodes } = await currentFleet()
    const all = [...nodes.values()].map(({ node }) => nodeView(node))
    return listOf(all, query, ({ node_id }) => node_id, maySee)
  },
  processes: async ({ id, limit }) => {
    const { host } = await reach(id)
    const all = await measureProcesses(host)
    return { data: all.slice(0, limit), total: all.length }
  },
  vms: async (query, { maySee }) => {
    const { vms } = await currentFleet()
    return listOf([...vms.values()].map(vmView), query, ({ vm_id }) => vm_id, maySee)
  },
  vm: async ({ id }) => {
    const { vms } = await currentFleet()
    const vm = vms.get(id)
    if (!vm) throw notFound('Virtual machine', id)
    return vmView(vm)
  },
  containers: async (query, { maySee }) => {
    const { containers } = await currentFleet()
    return listOf([...containers.values()].map(containerView), query, ({ container_id }) => container_id, maySee)
  },
  container: ({ id }) => containerOf(id),
  containerStats: ({ id }) => containerOf(id),
  metrics: async () => ({
    data: subjectKinds.flatMap((kind) =>
      Object.entries(catalogue[kind]).map(([name, { unit, does }]) => ({ name, kind, unit, does })),
    ),
  }),
  history: async (asked, call) => {
    requireSubject(asked.subject as SubjectName, call)
    return history(asked)
  },
})

async function nodeOf(id: string) {
  const { nodes } = await currentFleet()
  const reached = nodes.get(id)
  if (!reached) throw notFound('Node', id)
  return nodeView(reached.node)
}

async function containerOf(id: string) {
  const { containers } = await currentFleet()
  const container = containers.get(id)
  if (!container) throw notFound('Container', id)
  return containerView(container)
}

const rights = {
  nodes: ['SysAudit', '/api/cluster/nodes/'],
  vms: ['VmAudit', '/api/vms/'],
  containers: ['ContainerAudit', '/api/containers/'],
} as const

/** @throws ForbiddenError for a subject that the caller may not see */
export function requireSubject(subject: SubjectName, call: Pick<Call, 'caller' | 'rights'>): void {
  if (call.caller.kind === 'service') return
  const [privilege, path] = rights[kindOf(subject)]
  requireRight(call, privilege, `${path}${idOf(subject)}`)
}

type Asked = Params<typeof contract, 'history'>

const hourMs = 3_600_000

async function history({ subject, metric, start, end, interval, width, zone }: Asked) {
  const name = subject as SubjectName
  const now = Date.now()
  const to = end === undefined ? now : Date.parse(end)
  const from = start === undefined ? to - hourMs : Date.parse(start)
  const series = catalogue[kindOf(name)][metric]
  const violations = [
    ...(series
      ? []
      : [
          {
            field: 'metric',
            code: 'unknown',
            message: `${kindOf(name)} have no metric '${metric}'; GET /api/monitoring/metrics lists them`,
          },
        ]),
    ...(from < to ? [] : [{ field: 'start', code: 'order', message: 'must be before the end' }]),
    ...(interval !== undefined && width !== undefined
      ? [{ field: 'width', code: 'exclusive', message: 'cannot be given beside interval' }]
      : []),
  ]
  if (violations.length > 0) throw new ValidationError(violations)
  const wanted = interval === undefined ? intervalFor(to - from, width ?? 300) : intervalOf(interval)
  const used = atLeast(wanted, finestMs(name, now - from))
  if (width !== undefined && width > mostBuckets) throw invalid('width', `must be at most ${mostBuckets}`)
  const edges = edgesOf(from, to, used, zone)
  const asked = { subject: name, metric, edges, interval: used, intervalMs: sampleIntervalOf(name), now }
  const { data, marks, tier } = await readHistory(asked, ringOf(name))
  return {
    subject,
    metric,
    unit: series!.unit,
    start: new Date(edges[0]!).toISOString(),
    end: new Date(edges.at(-1)!).toISOString(),
    interval_seconds: used.ms / 1000,
    zone,
    tier,
    data,
    marks,
  }
}

/** The distance of the samples that are kept for so long. */
function finestMs(subject: SubjectName, ageMs: number): number {
  if (ageMs <= tiers.raw.keptMs) return sampleIntervalOf(subject)
  return ageMs <= tiers.minute.keptMs ? tiers.minute.rowMs : tiers.ten_minutes.rowMs
}

/** An interval that is not finer than the samples: buckets between them would look like gaps. */
const atLeast = (interval: Interval, ms: number): Interval =>
  interval.ms >= ms ? interval : intervalOf(`${ms / 1000}s`)
