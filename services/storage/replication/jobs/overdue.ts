import type { MaySee } from '#shared/access/access.ts'
import type { Result } from '#shared/contract/contract.ts'
import type { Overdue } from '#shared/contracts/storage/backup-jobs.ts'
import type { replicationJobs } from '#shared/contracts/storage/replication-jobs.ts'
import { AppError } from '#shared/errors.ts'
import { lostOf, overdueOf, targetsOf } from '../../backups/jobs/overdue.ts'
import { subjectOf } from '../../backups/model.ts'
import { replicaRecords } from '../model.ts'
import { type JobRecord, jobRecords } from './model.ts'

/**
 * The virtual machines of a job whose newest point is too old. A job that is off counts as well. One whose replica has taken
 * over does not: nothing is replicated until it has gone back.
 */
async function lateOf(job: JobRecord): Promise<Overdue[]> {
  const maxAgeHours = job.max_age_hours ?? null
  if (maxAgeHours === null) return []
  const targets = await targetsOf(job)
  if (targets instanceof AppError) return [lostOf(job, targets)]
  const replicas = await replicaRecords.all({ job_id: job.id })
  const over = new Set(replicas.filter(({ failover }) => failover !== null).map(({ vm_id }) => vm_id))
  const newest = new Map(
    replicas.flatMap(({ vm_id, points }) =>
      points.slice(-1).map(({ taken_at }) => [subjectOf({ vm_id, container_id: null }), taken_at] as const),
    ),
  )
  const going = targets.filter(({ id }) => !over.has(id))
  return overdueOf(job, maxAgeHours, going, newest, 'point')
}

/** The overdue virtual machines of all jobs that a caller may see. */
export async function summaryOf(maySee: MaySee): Promise<Result<typeof replicationJobs, 'summary'>> {
  const seen = (await jobRecords.all({})).filter(({ id }) => maySee.all || maySee.item(id))
  const data = (await Promise.all(seen.map(lateOf))).flat()
  return { total: seen.length, overdue: data.length, data }
}
