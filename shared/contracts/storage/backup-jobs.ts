import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import {
  ById,
  Done,
  Id,
  Name,
  nullable,
  oneOf,
  SearchPage,
  SearchQuery,
  record,
  strict,
  Time,
  Version,
} from '#shared/contracts/common.ts'
import { Frequency, Run, Timezone } from '#shared/contracts/frequency.ts'
import { JobProof, Unproven } from '#shared/contracts/storage/backup-proofs.ts'
import { Bandwidth } from '#shared/contracts/storage/backups.ts'
import { Retention } from '#shared/contracts/storage/retention.ts'
import { Vm } from '#shared/contracts/vm/vms.ts'

const Label = Type.String({
  examples: ['tier=prod', 'backup'],
  pattern: '^[A-Za-z0-9][A-Za-z0-9._/-]{0,254}(=.{0,1000})?$',
  description: 'Containers with this label, or with this value of it: `tier=prod`',
  errorMessage: 'must be a label such as backup, or a label with its value such as tier=prod',
})

/** The virtual machines and containers of a job, found anew at each run. Only managed containers are. */
export const Selection = Type.Union([
  strict({ kind: Type.Literal('vm'), vm_id: Id }),
  strict({ kind: Type.Literal('tag'), tag: Vm.properties.tags.items }),
  strict({ kind: Type.Literal('container'), container_id: Id }),
  strict({ kind: Type.Literal('label'), label: Label }),
  strict({ kind: Type.Literal('resource_pool'), resource_pool: Id }),
])
/** The selections of virtual machines alone. */
export const VmSelection = Type.Union([
  strict({ kind: Type.Literal('vm'), vm_id: Id }),
  strict({ kind: Type.Literal('tag'), tag: Vm.properties.tags.items }),
  strict({ kind: Type.Literal('resource_pool'), resource_pool: Id }),
])
export type VmSelection = Static<typeof VmSelection>
export type Selection = Static<typeof Selection>

const Count = Type.Integer({ minimum: 0 })

/** A virtual machine, or a container: the other one is null. */
const subject = {
  vm_id: Type.Union([Id, Type.Null()], { description: 'null of a container' }),
  container_id: Type.Union([Id, Type.Null()], { description: 'null of a virtual machine' }),
}

/** The result of a run for one virtual machine or container. */
const Outcome = strict({
  ...subject,
  name: Type.String(),
  state: oneOf('succeeded', 'failed', 'skipped'),
  backup_id: nullable(Id),
  reason: Type.Union([Type.String(), Type.Null()], { description: 'The reason that there is no backup' }),
})
export type Outcome = Static<typeof Outcome>

export const JobRun = strict({
  operation_id: Id,
  due: Type.Union([Time, Type.Null()], { description: 'null: started by a caller' }),
  missed: Type.Integer({
    description: 'Due times after it that had no run of their own, because nothing ran then; 1000 at most',
  }),
  started_at: Time,
  ended_at: nullable(Time),
  state: oneOf('running', 'succeeded', 'failed'),
  succeeded: Count,
  failed: Count,
  skipped: Count,
  error: nullable(Type.String()),
})
export type JobRun = Static<typeof JobRun>

const PerNode = Type.Integer({
  minimum: 1,
  maximum: 16,
  description: 'Virtual machines and containers of one node that a run backs up at a time',
})
const byCaller = 'null: only when it is started by a caller'
const Often = Type.Union([Frequency, Type.Null()], { description: byCaller })

const ofMaxAge =
  'Hours: an older newest backup of a virtual machine or container raises the alert backup_overdue; null: never'
const Hours = Type.Integer({ minimum: 1, maximum: 87_600 })
export const MaxAge = Type.Union([Hours, Type.Null()], { description: ofMaxAge })
const ofRetention = 'Applied to each virtual machine and container after each run; null: every backup is kept'
const ofProof = 'The verifications of its backups, while it is enabled; null: none'

export const BackupJob = record('name enabled pool last_run.succeeded last_run.failed next_run id')({
  id: Id,
  name: Name,
  selection: Selection,
  pool: Type.String({ ...Id, description: 'Storage pool whose backup store gets the backups' }),
  frequency: Often,
  timezone: Timezone,
  enabled: Type.Boolean(),
  per_node: PerNode,
  bandwidth_mib: nullable(Bandwidth),
  retention: Type.Union([Retention, Type.Null()], { description: ofRetention }),
  max_age_hours: MaxAge,
  proof: Type.Union([JobProof, Type.Null()], { description: ofProof }),
  last_run: nullable(JobRun),
  next_run: Type.Union([Time, Type.Null()], { description: 'null while it is not enabled, or has no frequency' }),
  created_at: Time,
  updated_at: Time,
  version: Version,
})
export type BackupJob = Static<typeof BackupJob>

export const RunResult = strict({
  outcomes: Type.Array(Outcome),
  deleted: Type.Array(Id, { description: 'Backups that the retention has deleted' }),
})

const Retained = strict({
  backup_id: Type.Union([Id, Type.Null()], { description: 'null: of a run to come' }),
  ...subject,
  at: Time,
  is_kept: Type.Boolean(),
  reason: Type.Union([Type.String(), Type.Null()], {
    description: 'The rule that keeps it, with its period: "weekly 2026-W41"',
  }),
  deleted_after: Type.Union([Time, Type.Null()], {
    description: 'The run to come that deletes it; null: at once, or never',
  }),
})
export type Retained = Static<typeof Retained>

/** The backups of a job under a retention, by virtual machine and container, the newest first. */
export const RetentionPlan = strict({ backups: Type.Array(Retained), plan_id: Type.String() })
export type RetentionPlan = Static<typeof RetentionPlan>

export const Overdue = strict({
  job_id: Id,
  job_name: Name,
  vm_id: Type.Union([Id, Type.Null()], {
    description: 'null of a container, and, as `container_id`, when the selection of the job cannot be found',
  }),
  container_id: Type.Union([Id, Type.Null()], { description: 'null of a virtual machine' }),
  newest: Type.Union([Time, Type.Null()], { description: 'The moment of its newest backup, or point, of this job' }),
  reason: Type.String(),
})
export type Overdue = Static<typeof Overdue>

const on = 'VmBackup on /api/backup-jobs/{id}' as const
const rights =
  'takes VmBackup on what it selects and DatastoreAllocate on the storage pool as well, and VmAllocate on all virtual machines where it boots backups'

export const backupJobs = contract('backup-jobs', {
  list: {
    does: 'List the jobs of backups',
    rest: 'GET /backup-jobs',
    can: 'signed-in',
    itemAccess: 'VmAudit on /api/backup-jobs/{id}',
    params: SearchQuery(BackupJob, ['name', 'pool', 'enabled']),
    result: SearchPage(BackupJob),
  },
  get: {
    does: 'Get a job of backups',
    rest: 'GET /backup-jobs/{id}',
    can: 'VmAudit on /api/backup-jobs/{id}',
    params: ById,
    result: BackupJob,
  },
  summary: {
    does: 'Show the virtual machines and containers whose newest backup of a job, or its verification, is older than the job asks',
    rest: 'GET /backup-jobs/summary',
    can: 'signed-in',
    itemAccess: 'VmAudit on /api/backup-jobs/{id}',
    params: strict({}),
    result: strict({
      total: Count,
      overdue: Count,
      data: Type.Array(Overdue),
      unproven: Count,
      proofs: Type.Array(Unproven),
    }),
    computed: true,
  },
  create: {
    does: `Have virtual machines or containers backed up regularly; ${rights}`,
    rest: 'POST /backup-jobs',
    can: on,
    audit: 'config_changed',
    status: 201,
    params: strict({
      id: Type.Optional(Id),
      name: Name,
      selection: Selection,
      pool: BackupJob.properties.pool,
      frequency: Type.Union([Frequency, Type.Null()], { default: null, description: byCaller }),
      timezone: Type.String({ ...Timezone, default: 'UTC' }),
      enabled: Type.Boolean({ default: true }),
      per_node: Type.Integer({ ...PerNode, default: 1 }),
      bandwidth_mib: Type.Union([Bandwidth, Type.Null()], { default: null }),
      retention: Type.Union([Retention, Type.Null()], { default: null, description: ofRetention }),
      max_age_hours: Type.Union([Hours, Type.Null()], { default: null, description: ofMaxAge }),
      proof: Type.Union([JobProof, Type.Null()], { default: null, description: ofProof }),
    }),
    result: BackupJob,
  },
  update: {
    does: `Change a job of backups; ${rights}`,
    rest: 'PATCH /backup-jobs/{id}',
    can: on,
    audit: 'config_changed',
    params: strict({
      id: Id,
      name: Type.Optional(Name),
      selection: Type.Optional(Selection),
      pool: Type.Optional(BackupJob.properties.pool),
      frequency: Type.Optional(Often),
      timezone: Type.Optional(Timezone),
      enabled: Type.Optional(Type.Boolean()),
      per_node: Type.Optional(PerNode),
      bandwidth_mib: Type.Optional(nullable(Bandwidth)),
      retention: Type.Optional(BackupJob.properties.retention),
      max_age_hours: Type.Optional(MaxAge),
      proof: Type.Optional(BackupJob.properties.proof),
    }),
    result: BackupJob,
  },
  delete: {
    does: 'Delete a job; its backups stay, and a run that goes on is stopped',
    rest: 'DELETE /backup-jobs/{id}',
    can: on,
    audit: 'config_changed',
    params: ById,
    result: Done,
    status: 204,
  },
  preview: {
    does: 'Show the next twenty runs of a job, with the changes of daylight saving',
    rest: 'GET /backup-jobs/{id}/preview',
    can: 'VmAudit on /api/backup-jobs/{id}',
    params: ById,
    result: strict({ data: Type.Array(Run) }),
    computed: true,
  },
  run: {
    does: 'Run a job now; one virtual machine or container that fails does not end it',
    rest: 'POST /backup-jobs/{id}/run',
    can: on,
    operation: true,
    audit: 'backup_created',
    params: ById,
    result: RunResult,
  },
  runDue: {
    does: 'Run a job at one of its due times',
    can: 'service',
    callers: ['storage'],
    operation: true,
    audit: 'backup_created',
    params: strict({ id: Id, due: Time, missed: Count }),
    result: RunResult,
  },
  retain: {
    does: 'Delete the backups of a job that its retention does not keep; with plan=true, simulate that, also with another retention and runs to come',
    rest: 'POST /backup-jobs/{id}/retain',
    can: on,
    operation: true,
    audit: 'backup_deleted',
    plan: RetentionPlan,
    params: strict({
      id: Id,
      plan: Type.Boolean({ default: false, description: 'Answer with the plan, and change nothing' }),
      // Only for a plan: instead of that of the job.
      retention: Type.Optional(Retention),
      runs: Type.Integer({
        minimum: 0,
        maximum: 1000,
        default: 0,
        description: 'Only for a plan: so many due times to come, each with its backups and deletions',
      }),
    }),
    result: strict({ deleted: Type.Array(Id) }),
  },
  stop: {
    does: 'Stop the run of a job: backups that are made are cancelled, no more begin, and complete ones stay',
    rest: 'POST /backup-jobs/{id}/stop',
    can: on,
    audit: 'config_changed',
    params: ById,
    result: BackupJob,
  },
})
