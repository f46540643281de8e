import type { Result } from '#shared/contract/contract.ts'
import type { replicationJobs } from '#shared/contracts/storage/replication-jobs.ts'
import type { ReplicationState } from '#shared/contracts/storage/replicas.ts'
import { findEntry, isActive } from '#shared/operation/entries.ts'
import { type ReplicaRecord, replicaRecords } from '../model.ts'
import { jobRecords } from './model.ts'

type Status = Result<typeof replicationJobs, 'status'>

/** Of states at the same time, the one that comes first is told. */
const order = ['transferring', 'finalizing', 'preparing', 'failed', 'completed', 'idle'] as const

/** The state of a job from those of its replicas; without any it is that of its last run. */
export function stateOf(replicas: readonly ReplicationState[], run: 'running' | 'succeeded' | 'failed' | null) {
  const found = order.find((state) => replicas.includes(state))
  if (run === 'running' && (found === undefined || ['failed', 'completed', 'idle'].includes(found))) return 'preparing'
  if (run === 'failed') return 'failed'
  return found ?? (run === 'succeeded' ? 'completed' : 'idle')
}

async function statusOfReplica(record: ReplicaRecord): Promise<Status['replicas'][number]> {
  const { id, vm_id, vm_name, state, operation_id, error, points } = record
  const entry = operation_id === null ? null : await findEntry(operation_id)
  const progress = entry && isActive(entry) && entry.progress.unit === 'bytes' ? entry.progress : null
  const [done_bytes, total_bytes] = [progress?.done ?? null, progress?.total ?? null]
  const newest = points.at(-1)?.taken_at ?? null
  return { replica_id: id, vm_id, vm_name, state, operation_id, error, done_bytes, total_bytes, newest }
}

export async function statusOf(id: string): Promise<Status> {
  const { last_run, next_run } = await jobRecords.require(id)
  const replicas = await Promise.all((await replicaRecords.all({ job_id: id })).map(statusOfReplica))
  const state = stateOf(
    replicas.map((replica) => replica.state),
    last_run?.state ?? null,
  )
  return { id, state, last_run, next_run, replicas }
}
