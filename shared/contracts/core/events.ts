import { type Static, type TObject, Type } from 'typebox'
import type { Privilege } from '#shared/access/privileges.ts'
import type { OnPath } from '#shared/contract/contract.ts'
import { nullable, oneOf, strict, Time } from '#shared/contracts/common.ts'
import type { Witness } from '#shared/contracts/access/permissions.ts'
import { Operation } from '#shared/contracts/core/operations.ts'
import { ContainerStatus } from '#shared/contracts/container/parts.ts'
import { OfJobRun, replicationEvents } from '#shared/contracts/storage/replication-events.ts'
import { VmStatus } from '#shared/contracts/vm/vms.ts'

export const topics = [
  'changes',
  'vm:status',
  'vm:metrics',
  'vm:events',
  'node:metrics',
  'container:status',
  'container:metrics',
  'container:events',
  'backups',
  'migrations',
  'alerts',
  'notifications',
  'operations',
] as const
export type Topic = (typeof topics)[number]

/** Topic and data of an event, and the right that a subscriber needs to receive it. */
type EventKind = { topic: Topic; access: OnPath | 'owner' | 'resource'; data: TObject }
const kind = <const K extends EventKind>(definition: K) => definition

const number = (description: string) => nullable(Type.Number({ description }))
/** Numbers of a measurement; null is not measured. */
const measured = {
  cpu_usage: number('Percent of all processors'),
  memory_usage: number('Percent'),
  disk_read: number('bytes/s'),
  disk_write: number('bytes/s'),
  network_rx: number('bytes/s'),
  network_tx: number('bytes/s'),
  source: nullable(Type.String()),
  quality: Type.String({ description: 'fresh, stale, estimated or missing' }),
  timestamp: Time,
}

const ofMigration = { migration_id: Type.String(), vm_id: Type.String(), timestamp: Time }
const ofBackup = {
  backup_id: Type.String(),
  vm_id: Type.Union([Type.String(), Type.Null()], { description: 'null of a container' }),
  container_id: Type.Optional(Type.Union([Type.String(), Type.Null()], { description: 'null of a virtual machine' })),
  timestamp: Time,
}

/** All events. `owner`: the user who started the operation, and users with SysAudit; `resource`: each user with the right to see the resource. */
export const events = {
  ResourceChanged: kind({
    topic: 'changes',
    access: 'resource',
    data: strict({
      path: Type.String({ description: 'Of the resource, as in /api/vms/web' }),
      version: Type.Integer({ description: 'Its version, or a later one, as GET gives it; of a deleted one its last' }),
      change: oneOf('created', 'updated', 'deleted'),
    }),
  }),
  VmStatusChanged: kind({
    topic: 'vm:status',
    access: 'VmAudit on /api/vms/{vm_id}',
    data: strict({ vm_id: Type.String(), old_status: VmStatus, new_status: VmStatus, timestamp: Time }),
  }),
  VmCreated: kind({
    topic: 'vm:events',
    access: 'VmAudit on /api/vms/{vm_id}',
    data: strict({ vm_id: Type.String(), name: Type.String(), timestamp: Time }),
  }),
  VmDeleted: kind({
    topic: 'vm:events',
    access: 'VmAudit on /api/vms/{vm_id}',
    data: strict({ vm_id: Type.String(), name: Type.String(), timestamp: Time }),
  }),
  VmMigrated: kind({
    topic: 'migrations',
    access: 'VmAudit on /api/vms/{vm_id}',
    data: strict({
      vm_id: Type.String(),
      name: Type.String(),
      source_node: Type.String(),
      target_node: Type.String(),
      timestamp: Time,
    }),
  }),
  MigrationStarted: kind({
    topic: 'migrations',
    access: 'VmAudit on /api/vms/{vm_id}',
    data: strict({ ...ofMigration, source_node: Type.String(), target_node: Type.String() }),
  }),
  MigrationProgress: kind({
    topic: 'migrations',
    access: 'VmAudit on /api/vms/{vm_id}',
    data: strict({
      vm_id: Type.String(),
      progress: Type.Number({ description: 'Percent' }),
      transferred_bytes: Type.Integer(),
      total_bytes: Type.Integer(),
      timestamp: Time,
    }),
  }),
  MigrationCompleted: kind({
    topic: 'migrations',
    access: 'VmAudit on /api/vms/{vm_id}',
    data: strict({
      ...ofMigration,
      source_node: Type.String(),
      target_node: Type.String(),
      pause_ms: Type.Optional(nullable(Type.Integer({ description: 'Measured; null: not measured' }))),
      is_pause_exceeded: Type.Optional(Type.Boolean({ description: 'It was longer than planned' })),
    }),
  }),
  MigrationFailed: kind({
    topic: 'migrations',
    access: 'VmAudit on /api/vms/{vm_id}',
    data: strict({ ...ofMigration, outcome: oneOf('failed', 'cancelled'), error: nullable(Type.String()) }),
  }),
  BackupCompleted: kind({
    topic: 'backups',
    access: 'VmAudit on /api/backups/{backup_id}',
    data: strict({ ...ofBackup, stored_bytes: Type.Integer() }),
  }),
  BackupFailed: kind({
    topic: 'backups',
    access: 'VmAudit on /api/backups/{backup_id}',
    data: strict({ ...ofBackup, error: nullable(Type.String()) }),
  }),
  BackupProven: kind({
    topic: 'backups',
    access: 'VmAudit on /api/backups/{backup_id}',
    data: strict({
      ...ofBackup,
      level: oneOf('structure', 'data', 'boot'),
      ok: Type.Boolean(),
      error: nullable(Type.String()),
    }),
  }),
  BackupJobEnded: kind({
    topic: 'backups',
    access: 'VmAudit on /api/backup-jobs/{job_id}',
    data: OfJobRun,
  }),
  BackupRunsMissed: kind({
    topic: 'backups',
    access: 'VmAudit on /api/backup-jobs/{job_id}',
    data: strict({
      job_id: Type.String(),
      due: Type.String({ ...Time, description: 'The due time that is made up for' }),
      missed: Type.Integer({ description: 'Due times after it that have no run of their own' }),
      timestamp: Time,
    }),
  }),
  ...replicationEvents,
  SnapshotCreated: kind({
    topic: 'vm:events',
    access: 'VmAudit on /api/vms/{vm_id}',
    data: strict({ vm_id: Type.String(), snapshot_id: Type.String(), name: Type.String(), timestamp: Time }),
  }),
  SnapshotDeleted: kind({
    topic: 'vm:events',
    access: 'VmAudit on /api/vms/{vm_id}',
    data: strict({ vm_id: Type.String(), snapshot_id: Type.String(), name: Type.String(), timestamp: Time }),
  }),
  SnapshotRestored: kind({
    topic: 'vm:events',
    access: 'VmAudit on /api/vms/{vm_id}',
    data: strict({ vm_id: Type.String(), snapshot_id: Type.String(), name: Type.String(), timestamp: Time }),
  }),
  SnapshotQuotaChanged: kind({
    topic: 'vm:events',
    access: 'VmAudit on /api/snapshot-quotas/{quota_id}',
    data: strict({
      quota_id: Type.String(),
      name: Type.String(),
      state: Type.String({ description: 'ok, warning or exceeded' }),
      count: Type.Integer(),
      bytes: Type.Integer(),
      timestamp: Time,
    }),
  }),
  ContainerStatusChanged: kind({
    topic: 'container:status',
    access: 'ContainerAudit on /api/containers/{container_id}',
    data: strict({
      container_id: Type.String(),
      old_status: ContainerStatus,
      new_status: ContainerStatus,
      timestamp: Time,
    }),
  }),
  ContainerCreated: kind({
    topic: 'container:events',
    access: 'ContainerAudit on /api/containers/{container_id}',
    data: strict({ container_id: Type.String(), name: Type.String(), timestamp: Time }),
  }),
  ContainerDeleted: kind({
    topic: 'container:events',
    access: 'ContainerAudit on /api/containers/{container_id}',
    data: strict({ container_id: Type.String(), name: Type.String(), timestamp: Time }),
  }),
  ContainerOom: kind({
    topic: 'container:events',
    access: 'ContainerAudit on /api/containers/{container_id}',
    data: strict({
      container_id: Type.String(),
      name: Type.String(),
      oom_kills: Type.Integer({ description: 'Killed processes of its present run' }),
      timestamp: Time,
    }),
  }),
  AlertTriggered: kind({
    topic: 'alerts',
    access: 'SysAudit on /api/alerts/{alert_id}',
    data: strict({
      alert_id: Type.String(),
      name: Type.String({ description: 'Kind of the alert, such as brute_force' }),
      severity: oneOf('info', 'warning', 'critical'),
      resource: Type.String({ description: 'Path of the resource concerned' }),
      message: Type.String(),
      timestamp: Time,
    }),
  }),
  AlertResolved: kind({
    topic: 'alerts',
    access: 'SysAudit on /api/alerts/{alert_id}',
    data: strict({
      alert_id: Type.String(),
      name: Type.String(),
      severity: oneOf('info', 'warning', 'critical'),
      resource: Type.String(),
      message: Type.String(),
      timestamp: Time,
    }),
  }),
  NodeMetrics: kind({
    topic: 'node:metrics',
    access: 'SysAudit on /api/cluster/nodes/{node_id}',
    data: strict({ node_id: Type.String(), ...measured }),
  }),
  VmMetrics: kind({
    topic: 'vm:metrics',
    access: 'VmAudit on /api/vms/{vm_id}',
    data: strict({ vm_id: Type.String(), ...measured }),
  }),
  ContainerMetrics: kind({
    topic: 'container:metrics',
    access: 'ContainerAudit on /api/containers/{container_id}',
    data: strict({ container_id: Type.String(), ...measured }),
  }),
  OperationUpdated: kind({ topic: 'operations', access: 'owner', data: Operation }),
}
export type EventType = keyof typeof events
export type EventData<T extends EventType> = Static<(typeof events)[T]['data']>

/** Recipients beyond, or besides, the access rule of the type. Removed before delivery to subscribers. */
type Addressed = {
  /** Rights of which a subscriber needs one, for an event of any resource. */
  needs?: 'signed-in' | { privilege: Privilege; path: string }[]
  /** Restricted API key that began the operation. */ api_key?: string
  /** Resource pools of the deleted resource: users with the privilege on one of them receive the event. */ pools?: string[]
  witnesses?: Witness[]
}

/** An event before publication; the stream assigns its `seq`. */
export type Event<T extends EventType = EventType> = {
  id: string
  type: T
  time: string
  topic: Topic
  data: EventData<T>
  for?: Addressed
}
