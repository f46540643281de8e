import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import {
  ById,
  Done,
  Id,
  SearchQuery,
  nullable,
  SearchPage,
  record,
  strict,
  Time,
  Version,
} from '#shared/contracts/common.ts'
import { Frequency, Run, Timezone } from '#shared/contracts/frequency.ts'
import { Snapshot } from '#shared/contracts/vm/snapshots.ts'

/** With the time of a run it is the name of a snapshot. */
const ScheduleName = Type.String({
  minLength: 1,
  maxLength: 200,
  examples: ['nightly'],
  pattern: '^[A-Za-z0-9_-]*$',
  errorMessage: 'must have only letters, digits, _ and -',
})
const Retention = Type.Integer({
  minimum: 1,
  maximum: 1000,
  description: 'Snapshots of this schedule that are kept; older ones of its own are deleted after each run',
})

export const Schedule = record('name vm_id enabled retention_count next_run last_error id')({
  id: Id,
  vm_id: Id,
  name: ScheduleName,
  frequency: Frequency,
  timezone: Timezone,
  retention_count: Retention,
  enabled: Type.Boolean(),
  include_memory: Type.Boolean(),
  last_run: Type.Union([Time, Type.Null()], { description: 'The due time of the last run' }),
  last_error: Type.Union([Type.String(), Type.Null()], { description: 'The reason that the last run failed' }),
  last_snapshot_id: nullable(Id),
  next_run: Type.Union([Time, Type.Null()], { description: 'null while it is not enabled' }),
  created_at: Time,
  updated_at: Time,
  version: Version,
})
export type Schedule = Static<typeof Schedule>

const on = 'VmSnapshot on /api/snapshot-schedules/{id}' as const

export const snapshotSchedules = contract('snapshot-schedules', {
  list: {
    does: 'List the schedules of snapshots',
    rest: 'GET /snapshot-schedules',
    can: 'signed-in',
    itemAccess: 'VmAudit on /api/snapshot-schedules/{id}',
    params: SearchQuery(Schedule, ['name', 'vm_id', 'enabled']),
    result: SearchPage(Schedule),
  },
  get: {
    does: 'Get a schedule of snapshots',
    rest: 'GET /snapshot-schedules/{id}',
    can: 'VmAudit on /api/snapshot-schedules/{id}',
    params: ById,
    result: Schedule,
  },
  create: {
    does: 'Have snapshots of a virtual machine taken regularly; takes VmSnapshot on the virtual machine as well',
    rest: 'POST /snapshot-schedules',
    can: on,
    audit: 'config_changed',
    params: strict({
      id: Type.Optional(Id),
      vm_id: Id,
      name: ScheduleName,
      frequency: Frequency,
      timezone: Type.String({ ...Timezone, default: 'UTC' }),
      retention_count: Retention,
      enabled: Type.Boolean({ default: true }),
      include_memory: Type.Boolean({ default: false }),
    }),
    result: Schedule,
    status: 201,
  },
  update: {
    does: 'Change a schedule of snapshots',
    rest: 'PATCH /snapshot-schedules/{id}',
    can: on,
    audit: 'config_changed',
    params: strict({
      id: Id,
      name: Type.Optional(ScheduleName),
      frequency: Type.Optional(Frequency),
      timezone: Type.Optional(Timezone),
      retention_count: Type.Optional(Retention),
      enabled: Type.Optional(Type.Boolean()),
      include_memory: Type.Optional(Type.Boolean()),
    }),
    result: Schedule,
  },
  delete: {
    does: 'Delete a schedule; its snapshots stay',
    rest: 'DELETE /snapshot-schedules/{id}',
    can: on,
    audit: 'config_changed',
    params: ById,
    result: Done,
    status: 204,
  },
  preview: {
    does: 'Show the next twenty runs of a schedule, with the changes of daylight saving',
    rest: 'GET /snapshot-schedules/{id}/preview',
    can: 'VmAudit on /api/snapshot-schedules/{id}',
    params: ById,
    result: strict({ data: Type.Array(Run) }),
    computed: true,
  },
  run: {
    does: 'Take the snapshot of one due time of a schedule, and delete its own that are more than it keeps',
    can: 'service',
    callers: ['vm'],
    operation: true,
    audit: 'snapshot_created',
    params: strict({ schedule: Id, due: Time }),
    result: nullable(Snapshot),
  },
})
