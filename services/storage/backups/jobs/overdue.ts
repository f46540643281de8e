import type { MaySee } from '#shared/access/access.ts'
import type { Result } from '#shared/contract/contract.ts'
import type { backupJobs, Overdue } from '#shared/contracts/storage/backup-jobs.ts'
import type { Unproven } from '#shared/contracts/storage/backup-proofs.ts'
import { AppError, UnavailableError } from '#shared/errors.ts'
import { backupRecords, subjectOf } from '../model.ts'
import { jobRecords, type JobRecord } from './model.ts'
import { select, subjectOf as fieldsOf, type Target } from './select.ts'
import { unprovenOf } from './unproven.ts'

/** A virtual machine of a job, with the time from which its backup is waited for. */
type Aged = { created_at: string; newest: string | null }

/**
 * Decides about one virtual machine. Without a backup its age counts, or that of the job if that is younger: a new one has
 * time for its first backup.
 */
export function isOverdue(
  { created_at, newest }: Aged,
  maxAgeHours: number,
  jobCreatedAt: string,
  nowMs: number,
): boolean {
  const since = newest ?? (created_at > jobCreatedAt ? created_at : jobCreatedAt)
  return nowMs - Date.parse(since) > maxAgeHours * 3_600_000
}

/** The moments of the newest backups of a job, by what they are of. */
async function newestOf(job: string): Promise<Map<string, string>> {
  const newest = new Map<string, string>()
  for (const { taken_at, ...of } of await backupRecords.all({ job_id: job, state: 'ready' })) {
    const subject = subjectOf(of)
    if (taken_at !== null && taken_at > (newest.get(subject) ?? '')) newest.set(subject, taken_at)
  }
  return newest
}

/** The virtual machines of a job whose newest state is too old. @param noun names it: a backup, a point */
export const overdueOf = (
  job: Pick<JobRecord, 'id' | 'name' | 'created_at'>,
  maxAgeHours: number,
  targets: readonly Pick<Target, 'kind' | 'id' | 'created_at'>[],
  newest: ReadonlyMap<string, string>,
  noun: string,
) =>
  targets
    .map((target) => ({ ...fieldsOf(target), created_at: target.created_at }))
    .map((target) => ({ ...target, newest: newest.get(subjectOf(target)) ?? null }))
    .filter((aged) => isOverdue(aged, maxAgeHours, job.created_at, Date.now()))
    .map(({ vm_id, container_id, newest: at }): Overdue => {
      const reason =
        at === null ? `It has no ${noun} of this job` : `Its newest ${noun} is older than ${maxAgeHours} hours`
      return { job_id: job.id, job_name: job.name, vm_id, container_id, newest: at, reason }
    })

/** The virtual machines of a job that have anything to back up, or the reason that they are not known. */
export async function targetsOf({ selection }: Pick<JobRecord, 'selection'>): Promise<Target[] | AppError> {
  try {
    return (await select(selection)).filter(({ skip }) => skip === null)
  } catch (error) {
    if (!(error instanceof AppError) || error instanceof UnavailableError) throw error
    return error
  }
}

/** A job whose selection is gone is late as a whole. */
export const lostOf = ({ id, name }: Pick<JobRecord, 'id' | 'name'>, { message }: AppError): Overdue => ({
  job_id: id,
  job_name: name,
  vm_id: null,
  container_id: null,
  newest: null,
  reason: message,
})

/** Finds all that is late of a job. A job that is off counts as well: its backups and their verifications age. */
async function lateOf(job: JobRecord): Promise<{ data: Overdue[]; proofs: Unproven[] }> {
  const { max_age_hours, proof } = job
  const asksProof = proof?.max_data_age_hours != null || proof?.max_boot_age_hours != null
  if (max_age_hours === null && !asksProof) return { data: [], proofs: [] }
  const targets = await targetsOf(job)
  if (targets instanceof AppError) {
    return { data: [lostOf(job, targets)], proofs: [] }
  }
  return {
    data: max_age_hours === null ? [] : overdueOf(job, max_age_hours, targets, await newestOf(job.id), 'backup'),
    proofs: asksProof ? await unprovenOf(job, targets) : [],
  }
}

/** The overdue virtual machines of all jobs that a caller may see, and those whose verifications are too old. */
export async function summaryOf(maySee: MaySee): Promise<Result<typeof backupJobs, 'summary'>> {
  const data: Overdue[] = []
  const proofs: Unproven[] = []
  const seen = (await jobRecords.all({})).filter(({ id }) => maySee.all || maySee.item(id))
  for (const job of seen) {
    const late = await lateOf(job)
    data.push(...late.data)
    proofs.push(...late.proofs)
  }
  return { total: seen.length, overdue: data.length, data, unproven: proofs.length, proofs }
}
