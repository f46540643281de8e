import type { MaySee } from '#shared/access/access.ts'
import type { Result } from '#shared/contract/contract.ts'
import type { backupJobs, Overdue } from '#shared/contracts/storage/backup-jobs.ts'
import { AppError, UnavailableError } from '#shared/errors.ts'
import { backupRecords } from '../model.ts'
import { jobRecords, type JobRecord } from './model.ts'
import { select, type Target } from './select.ts'

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

/** The moments of the newest backups of a job, by virtual machine. */
async function newestOf(job: string): Promise<Map<string, string>> {
  const newest = new Map<string, string>()
  for (const { vm_id, taken_at } of await backupRecords.all({ job_id: job, state: 'ready' }))
    if (taken_at !== null && taken_at > (newest.get(vm_id) ?? '')) newest.set(vm_id, taken_at)
  return newest
}

async function overdueOf(job: JobRecord, maxAgeHours: number): Promise<Overdue[]> {
  const told = { job_id: job.id, job_name: job.name }
  let targets: Target[]
  try {
    targets = await select(job.selection)
  } catch (error) {
    if (!(error instanceof AppError) || error instanceof UnavailableError) throw error
    return [{ ...told, vm_id: null, newest: null, reason: error.message }]
  }
  const newest = await newestOf(job.id)
  return targets
    .filter(({ skip }) => skip === null)
    .map(({ vm, created_at }) => ({ vm, created_at, newest: newest.get(vm) ?? null }))
    .filter((aged) => isOverdue(aged, maxAgeHours, job.created_at, Date.now()))
    .map(({ vm, newest: at }) => {
      const reason =
        at === null ? 'It has no backup of this job' : `Its newest backup is older than ${maxAgeHours} hours`
      return { ...told, vm_id: vm, newest: at, reason }
    })
}

/** The overdue virtual machines of all jobs that a caller may see. A job that is off counts as well: its backups age. */
export async function summaryOf(maySee: MaySee): Promise<Result<typeof backupJobs, 'summary'>> {
  const data: Overdue[] = []
  const seen = (await jobRecords.all({})).filter(({ id }) => maySee.all || maySee.item(id))
  for (const job of seen) if (job.max_age_hours !== null) data.push(...(await overdueOf(job, job.max_age_hours)))
  return { total: seen.length, overdue: data.length, data }
}
