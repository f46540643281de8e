import { Type } from 'typebox'
import { nullable, strict, Time } from '#shared/contracts/common.ts'

/** The end of a run of a job, of backups or of replication. */
export const OfJobRun = strict({
  job_id: Type.String(),
  operation_id: Type.String(),
  succeeded: Type.Integer(),
  failed: Type.Integer(),
  skipped: Type.Integer(),
  error: nullable(Type.String()),
  timestamp: Time,
})

const ofReplica = { replica_id: Type.String(), vm_id: Type.String(), timestamp: Time }

/** The events of replicas and their jobs. */
export const replicationEvents = {
  ReplicationCompleted: {
    topic: 'backups',
    access: 'VmAudit on /api/replication/replicas/{replica_id}',
    data: strict({
      ...ofReplica,
      point_id: Type.String(),
      sent_bytes: Type.Integer(),
      was_written: Type.Boolean({ description: 'Something had written to the replica since the run before' }),
    }),
  },
  ReplicationFailed: {
    topic: 'backups',
    access: 'VmAudit on /api/replication/replicas/{replica_id}',
    data: strict({ ...ofReplica, error: Type.String() }),
  },
  ReplicationJobEnded: {
    topic: 'backups',
    access: 'VmAudit on /api/replication/jobs/{job_id}',
    data: OfJobRun,
  },
  ReplicaTested: {
    topic: 'backups',
    access: 'VmAudit on /api/replication/replicas/{replica_id}',
    data: strict({ ...ofReplica, ok: Type.Boolean(), error: nullable(Type.String()) }),
  },
  ReplicaFailedOver: {
    topic: 'backups',
    access: 'VmAudit on /api/replication/replicas/{replica_id}',
    data: strict({ ...ofReplica, new_vm_id: Type.String(), point_id: Type.String() }),
  },
  ReplicaFailedBack: {
    topic: 'backups',
    access: 'VmAudit on /api/replication/replicas/{replica_id}',
    data: strict({ ...ofReplica, old_vm_id: Type.String() }),
  },
} as const
