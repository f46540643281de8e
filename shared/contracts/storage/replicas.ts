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
import { BootCheck, Proof } from '#shared/contracts/storage/backup-proofs.ts'
import { Bandwidth } from '#shared/contracts/storage/backups.ts'
import { VolumeFormat } from '#shared/contracts/storage/pools.ts'
import { Retention } from '#shared/contracts/storage/retention.ts'
import { VolumeName } from '#shared/contracts/storage/volumes.ts'
import { Consistency } from '#shared/contracts/vm/snapshots.ts'
import { Vm } from '#shared/contracts/vm/vms.ts'

const Bytes = Type.Integer({ minimum: 0 })

const PointDisk = strict({
  id: Type.String({ description: 'Its place in the guest, such as vda' }),
  source_pool: Id,
  source_volume: VolumeName,
  volume: Type.String({ ...VolumeName, description: 'The volume of the replica, in its storage pool' }),
  format: VolumeFormat,
  size_bytes: Bytes,
  data_bytes: Type.Integer({ minimum: 0, description: 'Bytes that are no zeros' }),
  digest: Type.String({
    description: 'SHA-256 of the SHA-256 of each of its chunks of 4 MiB; the same of both ends when it was taken',
  }),
})

/** A state of the VM that the replica keeps. */
export const Point = strict({
  id: Id,
  taken_at: Type.String({ ...Time, description: 'The moment whose bytes it has' }),
  consistency: Type.Union([Consistency, Type.Null()], {
    description: 'filesystem: of frozen file systems; crash: as after a power cut; null of a guest that was off',
  }),
  vm_status: nullable(oneOf('running', 'paused', 'stopped')),
  disks: Type.Array(PointDisk),
  sent_bytes: Type.Integer({ minimum: 0, description: 'Bytes that were different, and were written' }),
  compared_bytes: Type.Integer({
    minimum: 0,
    description: 'Bytes of data that were read on both ends and compared; all ranges beside them are holes on both',
  }),
  was_written: Type.Boolean({
    description: 'Something had written to the replica since the run before; it was made equal again',
  }),
  kept_by: Type.Union([Type.String(), Type.Null()], { description: 'The rule of the retention that keeps it' }),
})
export type Point = Static<typeof Point>

export const ReplicationState = oneOf('idle', 'preparing', 'transferring', 'finalizing', 'completed', 'failed')
export type ReplicationState = Static<typeof ReplicationState>

export const Replica = record('vm_name state node pool error vm_id id')({
  id: Id,
  job_id: Type.String({ ...Id, description: 'It may be gone' }),
  vm_id: Type.String({ ...Id, description: 'It may be gone' }),
  vm_name: Name,
  node: Type.String({ ...Id, description: 'Node on which it lies, and where it is started' }),
  pool: Type.String({ ...Id, description: 'Storage pool of its disks' }),
  state: Type.Enum([...ReplicationState.enum], { description: 'Of its last run' }),
  operation_id: Type.Union([Id, Type.Null()], { description: 'Its last run' }),
  error: nullable(Type.String()),
  points: Type.Array(Point, { description: 'The newest last' }),
  test: Type.Union([Proof, Type.Null()], { description: 'The last test start' }),
  failover: Type.Union([strict({ vm_id: Id, point_id: Id, at: Time }), Type.Null()], {
    description: 'The virtual machine that has taken over; nothing is replicated until it has gone back',
  }),
  created_at: Time,
  updated_at: Time,
  version: Version,
})
export type Replica = Static<typeof Replica>

const on = 'VmBackup on /api/replication/replicas/{id}' as const
const sees = 'VmAudit on /api/replication/replicas/{id}' as const
const PointId = Type.Optional(Type.String({ ...Id, description: 'The newest one if not given' }))

export const replicas = contract('replicas', {
  list: {
    does: 'List the replicas of virtual machines',
    rest: 'GET /replication/replicas',
    can: 'signed-in',
    itemAccess: sees,
    params: SearchQuery(Replica, ['job_id', 'vm_id', 'vm_name', 'node', 'pool', 'state']),
    result: SearchPage(Replica),
  },
  get: {
    does: 'Get a replica',
    rest: 'GET /replication/replicas/{id}',
    can: sees,
    params: ById,
    result: Replica,
  },
  delete: {
    does: 'Delete a replica with its disks and points',
    rest: 'DELETE /replication/replicas/{id}',
    can: on,
    operation: true,
    audit: 'backup_deleted',
    params: ById,
    result: Done,
  },
  transferFor: {
    does: 'Bring a replica to the present state of its virtual machine',
    can: 'service',
    callers: ['storage'],
    operation: true,
    audit: 'backup_created',
    params: strict({
      id: Id,
      job: Id,
      vm_id: Id,
      node: Id,
      pool: Id,
      bandwidth_mib: nullable(Bandwidth),
      retention: nullable(Retention),
      timezone: Type.String(),
    }),
    result: Replica,
  },
  test: {
    does: 'Start an isolated copy of a replica, without a network, judge it, and remove it; takes VmAllocate on the copy and DatastoreAllocate on the storage pool as well',
    rest: 'POST /replication/replicas/{id}/test',
    can: on,
    operation: true,
    audit: 'vm_created',
    params: strict({
      id: Id,
      point_id: PointId,
      check: BootCheck,
      keep: Type.Boolean({ default: false, description: 'Leave the copy running; it is deleted like any other' }),
    }),
    result: Replica,
  },
  failover: {
    does: 'Start a virtual machine from a replica in place of its source, which is off or lost; takes VmAllocate on the new one and DatastoreAllocate on the storage pool as well',
    rest: 'POST /replication/replicas/{id}/failover',
    can: on,
    operation: true,
    audit: 'vm_created',
    params: strict({
      id: Id,
      point_id: PointId,
      vm_id: Type.Optional(Type.String({ ...Id, description: 'Id of the new virtual machine' })),
      name: Type.Optional(Type.String({ ...Name, description: 'Name of the new virtual machine' })),
      start: Type.Boolean({ default: true }),
      keep_macs: Type.Optional(
        Type.Boolean({
          description:
            'Keep the MAC addresses of the source, which does not start while the new one is there; true unless given, but false of a lost source, whose guest may come back',
        }),
      ),
      source_is_lost: Type.Boolean({
        default: false,
        description: 'The caller knows that the source does not run, although its node does not answer',
      }),
    }),
    result: Vm,
  },
  failback: {
    does: 'Bring what has changed since a failover back to the source, compared, and go on there; takes VmConfig on the source and VmAllocate on the other as well',
    rest: 'POST /replication/replicas/{id}/failback',
    can: on,
    operation: true,
    audit: 'backup_restored',
    params: strict({
      id: Id,
      start: Type.Boolean({ default: true, description: 'Start the source at the end' }),
      bandwidth_mib: Type.Optional(Bandwidth),
    }),
    result: Vm,
  },
})
