import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import {
  ById,
  Done,
  Id,
  Name,
  nullable,
  oneOf,
  record,
  SearchPage,
  SearchQuery,
  strict,
  Time,
  Version,
} from '#shared/contracts/common.ts'
import { Frequency, Run, Timezone } from '#shared/contracts/frequency.ts'
import { JobRun, MaxAge, Overdue, VmSelection } from '#shared/contracts/storage/backup-jobs.ts'
import { Bandwidth } from '#shared/contracts/storage/backups.ts'
import { ReplicationState } from '#shared/contracts/storage/replicas.ts'
import { Retention } from '#shared/contracts/storage/retention.ts'

const byCaller = 'null: only when it is started by a caller'
const ofRetention = 'The points that each replica keeps; null: the newest one'
const ofMaxAge = 'Hours: an older newest point of a replica raises the alert replication_overdue; null: never'
const Often = Type.Union([Frequency, Type.Null()], { description: byCaller })
const Bytes = Type.Integer({ minimum: 0 })

/** The result of a run for one virtual machine. */
const Outcome = strict({
  vm_id: Id,
  vm_name: Type.String(),
  state: oneOf('succeeded', 'failed', 'skipped'),
  replica_id: nullable(Id),
  reason: Type.Union([Type.String(), Type.Null()], { description: 'The reason that there is no new point' }),
})
export type ReplicationOutcome = Static<typeof Outcome>

export const ReplicationJob = record('name node pool enabled last_run.state next_run id')({
  id: Id,
  name: Name,
  selection: VmSelection,
  node: Type.String({ ...Id, description: 'Node that gets the replicas' }),
  pool: Type.String({ ...Id, description: 'Storage pool of that node; one that takes snapshots' }),
  frequency: Often,
  timezone: Timezone,
  enabled: Type.Boolean(),
  bandwidth_mib: nullable(Bandwidth),
  retention: Type.Union([Retention, Type.Null()], { description: ofRetention }),
  max_age_hours: Type.Optional(Type.Union(MaxAge.anyOf, { description: ofMaxAge })),
  last_run: nullable(JobRun),
  next_run: Type.Union([Time, Type.Null()], { description: 'null while it is not enabled, or has no frequency' }),
  created_at: Time,
  updated_at: Time,
  version: Version,
})
export type ReplicationJob = Static<typeof ReplicationJob>

const ReplicaStatus = strict({
  replica_id: Id,
  vm_id: Id,
  vm_name: Name,
  state: ReplicationState,
  operation_id: nullable(Id),
  error: nullable(Type.String()),
  done_bytes: Type.Union([Bytes, Type.Null()], { description: 'Of the run that goes on' }),
  total_bytes: nullable(Bytes),
  newest: Type.Union([Time, Type.Null()], { description: 'The moment of its newest point' }),
})
export type ReplicaStatus = Static<typeof ReplicaStatus>

const result = strict({ outcomes: Type.Array(Outcome) })
const on = 'VmBackup on /api/replication/jobs/{id}' as const
const sees = 'VmAudit on /api/replication/jobs/{id}' as const
const rights = 'takes VmBackup on what it selects and DatastoreAllocate on the storage pool as well'

export const replicationJobs = contract('replication-jobs', {
  list: {
    does: 'List the jobs of replication',
    rest: 'GET /replication/jobs',
    can: 'signed-in',
    itemAccess: sees,
    params: SearchQuery(ReplicationJob, ['name', 'node', 'pool', 'enabled']),
    result: SearchPage(ReplicationJob),
  },
  get: {
    does: 'Get a job of replication',
    rest: 'GET /replication/jobs/{id}',
    can: sees,
    params: ById,
    result: ReplicationJob,
  },
  summary: {
    does: 'Show the virtual machines whose newest point of a job of replication is older than the job asks',
    rest: 'GET /replication/jobs/summary',
    can: 'signed-in',
    itemAccess: sees,
    params: strict({}),
    result: strict({ total: Bytes, overdue: Bytes, data: Type.Array(Overdue) }),
    computed: true,
  },
  create: {
    does: `Have virtual machines replicated regularly to the storage pool of another node; ${rights}`,
    rest: 'POST /replication/jobs',
    can: on,
    audit: 'config_changed',
    status: 201,
    params: strict({
      id: Type.Optional(Id),
      name: Name,
      selection: VmSelection,
      node: ReplicationJob.properties.node,
      pool: ReplicationJob.properties.pool,
      frequency: Type.Union([Frequency, Type.Null()], { default: null, description: byCaller }),
      timezone: Type.String({ ...Timezone, default: 'UTC' }),
      enabled: Type.Boolean({ default: true }),
      bandwidth_mib: Type.Union([Bandwidth, Type.Null()], { default: null }),
      retention: Type.Union([Retention, Type.Null()], { default: null, description: ofRetention }),
      max_age_hours: Type.Union(MaxAge.anyOf, { default: null, description: ofMaxAge }),
    }),
    result: ReplicationJob,
  },
  update: {
    does: `Change a job of replication; ${rights}`,
    rest: 'PATCH /replication/jobs/{id}',
    can: on,
    audit: 'config_changed',
    params: strict({
      id: Id,
      name: Type.Optional(Name),
      selection: Type.Optional(VmSelection),
      frequency: Type.Optional(Often),
      timezone: Type.Optional(Timezone),
      enabled: Type.Optional(Type.Boolean()),
      bandwidth_mib: Type.Optional(nullable(Bandwidth)),
      retention: Type.Optional(ReplicationJob.properties.retention),
      max_age_hours: ReplicationJob.properties.max_age_hours,
    }),
    result: ReplicationJob,
  },
  delete: {
    does: 'Delete a job of replication; its replicas stay',
    rest: 'DELETE /replication/jobs/{id}',
    can: on,
    audit: 'config_changed',
    params: ById,
    result: Done,
    status: 204,
  },
  preview: {
    does: 'Show the next twenty runs of a job of replication, with the changes of daylight saving',
    rest: 'GET /replication/jobs/{id}/preview',
    can: sees,
    params: ById,
    result: strict({ data: Type.Array(Run) }),
    computed: true,
  },
  status: {
    does: 'Show the state and the progress of a job of replication, and of each of its replicas',
    rest: 'GET /replication/jobs/{id}/status',
    can: sees,
    params: ById,
    result: strict({
      id: Id,
      state: ReplicationState,
      last_run: ReplicationJob.properties.last_run,
      next_run: ReplicationJob.properties.next_run,
      replicas: Type.Array(ReplicaStatus),
    }),
    computed: true,
  },
  execute: {
    does: 'Run a job of replication now; one virtual machine that fails does not end it',
    rest: 'POST /replication/jobs/{id}/execute',
    can: on,
    operation: true,
    audit: 'backup_created',
    params: ById,
    result,
  },
  executeDue: {
    does: 'Run a job of replication at one of its due times',
    can: 'service',
    callers: ['storage'],
    operation: true,
    audit: 'backup_created',
    params: strict({ id: Id, due: Time, missed: Type.Integer({ minimum: 0 }) }),
    result,
  },
})
