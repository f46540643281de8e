import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import {
  ById,
  Id,
  ListQuery,
  None,
  nullable,
  oneOf,
  Page,
  record,
  strict,
  Time,
  Version,
} from '#shared/contracts/common.ts'
import { Forecast, ForecastQuality } from '#shared/contracts/migration/forecast.ts'
import { Health, healthSettings, HttpCheck } from '#shared/contracts/migration/health.ts'
import { MoveProgress, TargetDisk } from '#shared/contracts/vm/moves.ts'

export const MigrationType = oneOf('live', 'online', 'offline')
export type MigrationType = Static<typeof MigrationType>

export const PostCopy = oneOf('never', 'when_not_converging')
export type PostCopy = Static<typeof PostCopy>

/** Steps of a rollback, in their order. */
export const rollbackSteps = [
  'cleanup_target_disks',
  'unregister_target_vm',
  'release_target_resources',
  'restore_source_config',
  'restore_network_config',
  'restart_vm_on_source',
] as const

const Rollback = strict({
  state: oneOf('waiting', 'running', 'completed', 'incomplete'),
  is_automatic: Type.Boolean(),
  steps: Type.Array(
    strict({
      name: oneOf(...rollbackSteps),
      state: oneOf('done', 'failed'),
      error: nullable(Type.String()),
      ended_at: Time,
    }),
  ),
  summary: nullable(Type.String()),
})
export type Rollback = Static<typeof Rollback>

const Pause = strict({
  measured_ms: Type.Integer({ 'x-unit': 'milliseconds', description: 'Time for which the guest stood still' }),
  allowed_ms: Type.Integer({
    'x-unit': 'milliseconds',
    description: 'Longest pause that was planned; the end of a move can take longer than QEMU has foreseen',
  }),
  is_exceeded: Type.Boolean(),
})
export type Pause = Static<typeof Pause>

const Violation = strict({ field: Type.String(), code: Type.String(), message: Type.String() })

export const Migration = record('vm_name status source_node target_node migration_type progress_percent id')({
  id: Type.String({ description: 'The id of its operation' }),
  vm_id: Id,
  vm_name: Type.String(),
  source_node: Id,
  target_node: Id,
  migration_type: MigrationType,
  status: oneOf('preparing', 'transferring', 'syncing', 'finalizing', 'completed', 'failed', 'cancelled'),
  reason: nullable(Type.String({ description: 'Why it was moved, such as a drain' })),
  bandwidth_limit: Type.Integer({ 'x-unit': 'MiB/s', description: 'MiB/s' }),
  auto_converge: Type.Boolean(),
  post_copy: PostCopy,
  disks: Type.Array(TargetDisk),
  progress_percent: Type.Number(),
  statistics: nullable(MoveProgress),
  pause: nullable(
    Type.Object(Pause.properties, {
      additionalProperties: false,
      description: 'Of a completed migration of a guest that ran; null when it was not measured',
    }),
  ),
  forecast: nullable(Forecast),
  rollback: nullable(Rollback),
  health: nullable(Health),
  error: nullable(Type.String()),
  user: Type.String(),
  created_at: Time,
  started_at: nullable(Time),
  ended_at: nullable(Time),
  updated_at: Time,
  version: Version,
})
export type Migration = Static<typeof Migration>

const bandwidth = Type.Integer({ minimum: 1, maximum: 100_000, 'x-unit': 'MiB/s', description: 'MiB/s' })

export const MigrationSettings = strict({
  bandwidth_limit: Type.Integer({
    ...bandwidth,
    'x-unit': 'MiB/s',
    description: 'MiB/s of a migration that says none',
  }),
  concurrent_per_node: Type.Integer({ minimum: 1, maximum: 4, description: 'Migrations from or to a node at a time' }),
  auto_rollback: Type.Boolean({ description: 'A failed migration is rolled back at once; else by hand' }),
  auto_converge: Type.Boolean({ description: 'A live migration may slow its guest down so that it comes to an end' }),
  post_copy: {
    ...PostCopy,
    description:
      'A live migration that does not come to an end, though its guest was slowed down, has the target run the guest before all of its memory is there. A cut of the network then stops the guest until it is mended, and the loss of either node ends it. Not for guests of HA or with disks that are copied',
  },
  ...healthSettings,
})
export type MigrationSettings = Static<typeof MigrationSettings>

/** The parameters of a migration, for checks and starts. */
const wanted = {
  vm_id: Id,
  target_node: Id,
  migration_type: Type.Optional(MigrationType),
  online: Type.Optional(Type.Boolean({ description: 'Older word: true for live, false for offline' })),
  target_pool: Type.Optional(
    Type.String({ ...Id, description: 'Storage pool of the target node for disks that are on one node only' }),
  ),
  bandwidth_limit: Type.Optional(bandwidth),
  auto_converge: Type.Optional(Type.Boolean({ description: 'Only of a live migration' })),
  post_copy: Type.Optional({ ...PostCopy, description: 'Only of a live migration whose disks both nodes reach' }),
}
const started = {
  ...wanted,
  shutdown_timeout: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 3600,
      'x-unit': 'seconds',
      description: 'Seconds that a guest has to shut down for an offline migration, before it is switched off; 60',
    }),
  ),
  reason: Type.Optional(Type.String({ maxLength: 500, description: 'Kept with the migration' })),
  http_checks: Type.Optional(
    Type.Array(HttpCheck, {
      maxItems: 8,
      description: 'Requests that Horcrux sends before the move and after it; takes SysModify on /api/migrations',
    }),
  ),
}
/** A plan changes nothing. */
const plan = Type.Optional(Type.Boolean({ description: 'Only answer the checks; nothing is changed' }))

export const MigrationPlan = strict({
  plan_id: Type.String({ description: 'For If-Plan' }),
  vm_id: Id,
  source_node: Id,
  target_node: Id,
  migration_type: MigrationType,
  is_possible: Type.Boolean(),
  disks: Type.Array(TargetDisk),
  bytes_to_copy: Type.Integer({ 'x-unit': 'bytes', description: 'Of disks at most; memory comes beside it' }),
  forecast: nullable(Forecast),
  violations: Type.Array(Violation),
  warnings: Type.Array(Type.String()),
})
export type MigrationPlan = Static<typeof MigrationPlan>

export const migrations = contract('migrations', {
  start: {
    does: 'Move a virtual machine to another node; takes DatastoreAllocate on each storage pool that a disk is copied to',
    rest: 'POST /migrate/{vm_id}',
    can: 'VmMigrate on /api/vms/{vm_id}',
    operation: true,
    audit: 'vm_migrated',
    params: strict({ ...started, plan }),
    result: Migration,
    plan: MigrationPlan,
  },
  check: {
    does: 'List everything that keeps a virtual machine from moving to a node, all at once, and foretell its move; nothing is changed',
    rest: 'POST /migrate/{vm_id}/check',
    can: 'VmMigrate on /api/vms/{vm_id}',
    params: strict(wanted),
    result: MigrationPlan,
    computed: true,
  },
  status: {
    does: 'Get the last migration of a virtual machine',
    rest: 'GET /migrate/{vm_id}/status',
    can: 'VmAudit on /api/vms/{vm_id}',
    params: strict({ vm_id: Id }),
    result: Migration,
    computed: true,
  },
  list: {
    does: 'List the migrations of virtual machines that the caller may see, the newest first',
    rest: 'GET /migrations',
    can: 'signed-in',
    params: ListQuery('vm_id', 'source_node', 'target_node', 'migration_type'),
    result: Page(Migration),
  },
  get: {
    does: 'Get a migration',
    rest: 'GET /migrations/{id}',
    can: 'signed-in',
    params: ById,
    result: Migration,
    computed: true,
  },
  health: {
    does: 'Get the checks of a guest that has moved, with their consequence; null until they have ended',
    rest: 'GET /migrations/{id}/health',
    can: 'signed-in',
    params: ById,
    result: strict({ migration_id: Type.String(), health: nullable(Health) }),
    computed: true,
  },
  statistics: {
    does: 'Count migrations by outcome, with their usual time and pause, and compare forecasts with outcomes',
    rest: 'GET /migrations/statistics',
    can: 'SysAudit on /api/migrations',
    params: None,
    result: strict({
      total: Type.Integer(),
      running: Type.Integer(),
      completed: Type.Integer(),
      failed: Type.Integer(),
      cancelled: Type.Integer(),
      median_seconds: nullable(Type.Number()),
      median_downtime_ms: nullable(Type.Number()),
      forecasts: ForecastQuality,
    }),
    computed: true,
  },
  cancel: {
    does: 'Cancel a migration; the virtual machine stays on its node',
    rest: 'POST /migrations/{id}/cancel',
    can: 'signed-in',
    audit: 'vm_config_changed',
    params: ById,
    result: Migration,
  },
  rollback: {
    does: 'Roll a failed migration back that was not rolled back by itself, or not wholly',
    rest: 'POST /migrations/{id}/rollback',
    can: 'SysModify on /api/migrations/{id}',
    operation: true,
    audit: 'vm_config_changed',
    params: ById,
    result: Migration,
  },
  settings: {
    does: 'Get the settings of migrations',
    rest: 'GET /migrations/settings',
    can: 'SysAudit on /api/migrations',
    params: None,
    result: MigrationSettings,
  },
  configure: {
    does: 'Change the settings of migrations',
    rest: 'PATCH /migrations/settings',
    can: 'SysModify on /api/migrations',
    audit: 'config_changed',
    params: Type.Partial(MigrationSettings, { additionalProperties: false }),
    result: MigrationSettings,
  },
})
