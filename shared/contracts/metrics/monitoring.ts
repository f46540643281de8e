import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { ById, Id, ListQuery, None, nullable, oneOf, Page, record, strict, Time } from '#shared/contracts/common.ts'
import { columns, subjectKinds, type SubjectKind } from '#shared/contracts/metrics/catalog.ts'

/** Why a number is missing. Missing is never zero. */
export const MissingReason = oneOf('reset', 'gone', 'stale', 'not_measured')
export type MissingReason = Static<typeof MissingReason>
export const Quality = Type.Enum(['fresh', 'stale', 'estimated', 'missing'], {
  description: 'stale: older than two and a half intervals. estimated: a part could not be read in time',
})
export type Quality = Static<typeof Quality>

const number = (description: string) => nullable(Type.Number({ description }))

const Measured = {
  source: nullable(Type.String({ description: 'Where the numbers are from, such as proc' })),
  age_seconds: nullable(Type.Number({ minimum: 0, description: 'Time since the measurement' })),
  quality: Quality,
  missing: Type.Record(Type.String(), MissingReason, { description: 'Each number that is null, and why' }),
  reason: nullable(Type.String({ description: 'Why nothing, or not all, could be measured' })),
  timestamp: nullable(Time),
}

const unitNote = (unit: string, does: string) => (unit === '' ? does : `${does}; ${unit}`)
function numbersOf(kind: SubjectKind) {
  const gauges = Object.entries(columns[kind]).filter(([, { kind: of }]) => of === 'gauge')
  return Object.fromEntries(gauges.map(([name, { unit, does }]) => [name, number(unitNote(unit, does))]))
}

const Rates = {
  cpu_percent: number('Processors in use; percent of all of them'),
  memory_percent: number('Memory in use; percent'),
  disk_read_bytes_per_second: number('bytes/s'),
  disk_written_bytes_per_second: number('bytes/s'),
  network_received_bytes_per_second: number('bytes/s'),
  network_sent_bytes_per_second: number('bytes/s'),
}

const rateColumns = 'cpu_percent memory_percent disk_read_bytes_per_second network_received_bytes_per_second'

export const NodeMeasured = record(`name ${rateColumns} quality node_id`)({
  node_id: Type.String(),
  name: Type.String(),
  ...Measured,
  ...Rates,
  filesystem_percent: number('File system in use; percent'),
  ...numbersOf('nodes'),
})
export type NodeMeasured = Static<typeof NodeMeasured>

export const VmMeasured = record(`name ${rateColumns} node quality vm_id`)({
  vm_id: Type.String(),
  name: Type.String(),
  node: Type.String(),
  ...Measured,
  ...Rates,
  ...numbersOf('vms'),
})
export type VmMeasured = Static<typeof VmMeasured>

export const ContainerMeasured = record(`name ${rateColumns} node quality container_id`)({
  container_id: Type.String(),
  name: Type.String(),
  node: Type.String(),
  runtime: Type.String(),
  ...Measured,
  ...Rates,
  ...numbersOf('containers'),
})
export type ContainerMeasured = Static<typeof ContainerMeasured>

const Process = record('pid name state cpu_percent cpu_seconds memory_rss_bytes threads')({
  pid: Type.Integer(),
  started_ticks: Type.Integer({ description: 'With the pid it identifies the process; clock ticks after the boot' }),
  name: Type.String(),
  state: Type.String({ description: 'The letter of proc(5), such as S' }),
  cpu_percent: number('Of one processor, within the half second of the measurement'),
  cpu_seconds: Type.Number({ description: 'Processor time since its start; seconds' }),
  memory_rss_bytes: Type.Integer({ description: 'Resident memory; bytes' }),
  threads: Type.Integer(),
})
export type Process = Static<typeof Process>

/** Subject of a series: a resource by its kind and id. */
export const Subject = Type.String({
  pattern: `^(${subjectKinds.join('|')})/[A-Za-z0-9][A-Za-z0-9-]{0,62}$`,
  description: 'nodes/{id}, vms/{id} or containers/{id}',
  errorMessage: 'must be nodes/{id}, vms/{id} or containers/{id}',
})

const Duration = Type.String({
  pattern: '^[1-9][0-9]{0,5}(s|m|h|d|w)$',
  errorMessage: 'must be a number with s, m, h, d or w, such as 5m',
})

const Point = strict({
  time: Time,
  seconds: Type.Number({ description: 'Length of the bucket' }),
  min: nullable(Type.Number()),
  avg: nullable(Type.Number({ description: 'Weighted by the time that was measured' })),
  max: nullable(Type.Number()),
  covered: Type.Number({ minimum: 0, maximum: 1, description: 'Part of the bucket that was measured; 0 is a gap' }),
})
export type Point = Static<typeof Point>

const Mark = strict({
  time: Time,
  kind: oneOf('restarted', 'moved'),
  node: Type.String({ description: 'Where it ran from then on' }),
})

const History = strict({
  subject: Type.String(),
  metric: Type.String(),
  unit: Type.String(),
  start: Time,
  end: Time,
  interval_seconds: Type.Number({ description: 'Of days in a zone: the usual length' }),
  zone: Type.String(),
  tier: Type.Enum(['raw', 'minute', 'ten_minutes'], { description: 'The finest samples that the answer is made of' }),
  data: Type.Array(Point),
  marks: Type.Array(Mark),
})
export type History = Static<typeof History>

const Metric = strict({
  name: Type.String(),
  kind: oneOf(...subjectKinds),
  unit: Type.String(),
  does: Type.String(),
})

/** A VM to be measured, for the service that measures. */
const Watched = strict({
  id: Type.String(),
  name: Type.String(),
  node: Type.String(),
  handle: Type.String({ description: "The hypervisor's own name of the guest" }),
  status: Type.String(),
  tags: Type.Array(Type.String()),
  memory: Type.Integer({ 'x-unit': 'MiB', description: 'MiB' }),
})
export type Watched = Static<typeof Watched>
export const WatchedPage = strict({ data: Type.Array(Watched), next: nullable(Type.String()) })

/** The page of things to be measured after an id, or those of some ids that have changed. */
export const Watching = strict({
  after: Type.Optional(Id),
  ids: Type.Optional(Type.Array(Id, { maxItems: 1000 })),
})

/** A container to be measured, for the service that measures. */
const WatchedContainer = strict({
  id: Type.String(),
  name: Type.String(),
  node: Type.String(),
  runtime: Type.String(),
  status: Type.String(),
  tags: Type.Array(Type.String(), { description: 'Names of its labels' }),
  memory: nullable(Type.Integer({ 'x-unit': 'MiB', description: 'Limit; MiB' })),
  cpus: nullable(Type.Number({ description: 'Limit; processors' })),
})
export type WatchedContainer = Static<typeof WatchedContainer>
export const WatchedContainerPage = strict({ data: Type.Array(WatchedContainer), next: nullable(Type.String()) })

/** The measurement of one container. */
export const ContainerSample = strict({
  id: Type.String(),
  run: Type.String({ description: 'Changes at every start, and with it the counters begin anew' }),
  source: Type.String({ description: 'The version of control groups' }),
  values: Type.Record(Type.String(), Type.Number()),
})
export type ContainerSample = Static<typeof ContainerSample>

export const monitoring = contract('monitoring', {
  node: {
    does: 'Read the metrics of the node that Horcrux runs on',
    rest: 'GET /monitoring/node',
    can: 'SysAudit on /api/cluster/nodes/local',
    params: None,
    result: NodeMeasured,
  },
  nodes: {
    does: 'List the metrics of the nodes',
    rest: 'GET /monitoring/nodes',
    can: 'signed-in',
    itemAccess: 'SysAudit on /api/cluster/nodes/{id}',
    params: ListQuery('node_id', 'name'),
    result: Page(NodeMeasured),
  },
  nodeById: {
    does: 'Read the metrics of a node',
    rest: 'GET /monitoring/nodes/{id}',
    can: 'SysAudit on /api/cluster/nodes/{id}',
    params: ById,
    result: NodeMeasured,
  },
  processes: {
    does: 'Measure the processes of a node for half a second',
    rest: 'GET /monitoring/nodes/{id}/processes',
    can: 'SysAudit on /api/cluster/nodes/{id}',
    params: strict({
      id: Id,
      limit: Type.Integer({ minimum: 1, maximum: 1000, default: 50, description: 'Those with the most CPU first' }),
    }),
    result: strict({ data: Type.Array(Process), total: Type.Integer() }),
  },
  vms: {
    does: 'List the metrics of virtual machines',
    rest: 'GET /monitoring/vms',
    can: 'signed-in',
    itemAccess: 'VmAudit on /api/vms/{id}',
    params: ListQuery('vm_id', 'name', 'node'),
    result: Page(VmMeasured),
  },
  vm: {
    does: 'Read the metrics of a virtual machine',
    rest: 'GET /monitoring/vms/{id}',
    can: 'VmAudit on /api/vms/{id}',
    params: ById,
    result: VmMeasured,
  },
  containers: {
    does: 'List the metrics of containers',
    rest: 'GET /monitoring/containers',
    can: 'signed-in',
    itemAccess: 'ContainerAudit on /api/containers/{id}',
    params: ListQuery('container_id', 'name', 'node', 'runtime'),
    result: Page(ContainerMeasured),
  },
  container: {
    does: 'Read the metrics of a container',
    rest: 'GET /monitoring/containers/{id}',
    can: 'ContainerAudit on /api/containers/{id}',
    params: ById,
    result: ContainerMeasured,
  },
  containerStats: {
    does: 'Read the newest measurement of a container, as /monitoring/containers/{id} does',
    rest: 'GET /containers/{id}/stats',
    can: 'ContainerAudit on /api/containers/{id}',
    params: ById,
    result: ContainerMeasured,
  },
  metrics: {
    does: 'List the metrics that have a history, with their units',
    rest: 'GET /monitoring/metrics',
    can: 'signed-in',
    params: None,
    result: strict({ data: Type.Array(Metric) }),
  },
  history: {
    does: 'Read the history of a metric of a node, VM or container',
    rest: 'GET /monitoring/history/{metric}',
    can: 'signed-in',
    params: strict({
      metric: Type.String({ pattern: '^[a-z][a-z0-9_]{0,62}$', errorMessage: 'must be the name of a metric' }),
      subject: Subject,
      start: Type.Optional(Type.String({ ...Time, description: 'Default: an hour before the end' })),
      end: Type.Optional(Type.String({ ...Time, description: 'Default: now' })),
      interval: Type.Optional(Type.String({ ...Duration, description: 'Length of a bucket, such as 10s, 5m, 1h, 1d' })),
      width: Type.Optional(
        Type.Integer({
          minimum: 1,
          maximum: 5000,
          description: 'Pixels of a graph, in place of the interval: at most one bucket for each',
        }),
      ),
      zone: Type.String({
        maxLength: 64,
        pattern: '^[A-Za-z][A-Za-z0-9_+/-]*$',
        default: 'UTC',
        description: 'Time zone whose days and hours are the buckets, such as Europe/Berlin',
        errorMessage: 'must be the name of a time zone',
      }),
    }),
    result: History,
  },
})
