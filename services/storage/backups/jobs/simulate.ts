import type { Retained } from '#shared/contracts/storage/backup-jobs.ts'
import type { Retention } from '#shared/contracts/storage/retention.ts'
import { type Kept, keptBy, newestFirst } from './retention.ts'

/** `vm` is null of a backup of a container. */
export type Own = Kept & { vm: string | null; container?: string | null }

/**
 * Applies a retention to the backups of a job, and again after each run to come, which adds a backup of every virtual
 * machine that has one.
 * @param retention null keeps everything
 * @param dues times of the runs to come
 * @returns all backups, the newest of each virtual machine and container first
 */
export function simulate(
  backups: readonly Own[],
  retention: Retention | null,
  timezone: string,
  dues: readonly string[],
): Retained[] {
  return [...groupsOf(backups)].flatMap((own) => simulateOne(own, retention, timezone, dues))
}

/** Backups by the virtual machine or container that they are of. */
export const groupsOf = <B extends Own>(backups: readonly B[]): Iterable<B[]> =>
  Map.groupBy(backups, ({ vm, container }) => (vm === null ? `container ${container}` : `vm ${vm}`)).values()

function simulateOne(
  own: readonly Own[],
  retention: Retention | null,
  timezone: string,
  dues: readonly string[],
): Retained[] {
  const { vm = null, container = null } = own[0] ?? {}
  const all = own.map((backup) => ({ ...backup, isReal: true }))
  let left = all
  let reasons = new Map<string, string>()
  const deletedAfter = new Map<string, string | null>()
  const apply = (after: string | null) => {
    if (!retention) return
    reasons = keptBy(left, retention, timezone)
    for (const { id } of left) if (!reasons.has(id)) deletedAfter.set(id, after)
    left = left.filter(({ id }) => reasons.has(id))
  }
  apply(null)
  for (const due of dues) {
    const backup = { id: `run ${due}`, vm, at: due, protected: false, isReal: false }
    all.push(backup)
    left = [...left, backup]
    apply(due)
  }
  return all.toSorted(newestFirst).map(({ id, at, isReal }) => ({
    backup_id: isReal ? id : null,
    vm_id: vm,
    container_id: container,
    at,
    is_kept: !deletedAfter.has(id),
    reason: reasons.get(id) ?? null,
    deleted_after: deletedAfter.get(id) ?? null,
  }))
}
