import type { Proof, Unproven } from '#shared/contracts/storage/backup-proofs.ts'
import { backupRecords, subjectOf } from '../model.ts'
import type { JobRecord } from './model.ts'
import { subjectOf as fieldsOf, type Target } from './select.ts'

type Level = Unproven['level']

const hourMs = 3_600_000

/** The newest verification of all backups of a virtual machine, and the newest one that is good. */
export function newestOf(proofs: readonly Proof[]): { last: Proof | null; good: Proof | null } {
  const sorted = proofs.toSorted((a, b) => (a.at < b.at ? 1 : a.at > b.at ? -1 : 0))
  return { last: sorted[0] ?? null, good: sorted.find(({ ok }) => ok) ?? null }
}

type Asked = { level: Level; maxAgeHours: number; since: string }

/**
 * Decides about one virtual machine.
 * @param proofs those of one level, of all its backups of the job
 * @returns the reason that it counts as unproven; null: it is proven, or has time left
 */
export function reasonOf(proofs: readonly Proof[], { level, maxAgeHours, since }: Asked, nowMs: number): string | null {
  const { last, good } = newestOf(proofs)
  if (last && !last.ok) return `Its last ${level} verification has failed: ${last.error ?? 'no reason is known'}`
  if (nowMs - Date.parse(good?.at ?? since) <= maxAgeHours * hourMs) return null
  return good === null
    ? `It has no ${level} verification`
    : `Its newest ${level} verification is older than ${maxAgeHours} hours`
}

/** The virtual machines of a job whose verifications have failed, or are older than the job asks. One without counts as overdue ones do. */
export async function unprovenOf(job: JobRecord, targets: readonly Target[]): Promise<Unproven[]> {
  const records = Map.groupBy(await backupRecords.all({ job_id: job.id, state: 'ready' }), subjectOf)
  const asked = [
    { level: 'data', maxAgeHours: job.proof?.max_data_age_hours ?? null },
    { level: 'boot', maxAgeHours: job.proof?.max_boot_age_hours ?? null },
  ] as const
  return asked.flatMap(({ level, maxAgeHours }) => {
    if (maxAgeHours === null) return []
    // Only virtual machines are booted.
    const own = level === 'boot' ? targets.filter(({ kind }) => kind === 'vm') : targets
    return own.flatMap((target): Unproven[] => {
      const { created_at } = target
      const subject = fieldsOf(target)
      const proofs = (records.get(subjectOf(subject)) ?? []).flatMap((record) => record[level] ?? [])
      const since = created_at > job.created_at ? created_at : job.created_at
      const reason = reasonOf(proofs, { level, maxAgeHours, since }, Date.now())
      const newest = newestOf(proofs).good?.at ?? null
      return reason === null ? [] : [{ job_id: job.id, job_name: job.name, ...subject, level, newest, reason }]
    })
  })
}
