import type { Params, Result } from '#shared/contract/contract.ts'
import type { backupJobs, RetentionPlan } from '#shared/contracts/storage/backup-jobs.ts'
import { invalid } from '#shared/errors.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import { nextRuns } from '#shared/schedules/next-run.ts'
import { planned, requirePlan } from '#shared/service/plan.ts'
import { backupRecords } from '../model.ts'
import { childrenOf } from './children.ts'
import { jobPathOf, jobRecords, type JobRecord } from './model.ts'
import { keepsAny, keptBy } from './retention.ts'
import { groupsOf, type Own, simulate } from './simulate.ts'

type Given = Params<typeof backupJobs, 'retain'>

/** The backups that a job has made; those that are being made or deleted do not count. */
async function ownOf(job: string): Promise<(Own & { kept_by?: string | null | undefined })[]> {
  const records = await backupRecords.all({ job_id: job, state: 'ready' })
  return records.map(
    ({ id, vm_id: vm, container_id: container, taken_at, created_at, kept_by, protected: isProtected }) => {
      return { id, vm, container, at: taken_at ?? created_at, kept_by, protected: isProtected }
    },
  )
}

async function planOf({ id, retention, runs }: Given, job: JobRecord): Promise<RetentionPlan> {
  const policy = retention ?? job.retention
  if (retention && !keepsAny(retention))
    throw invalid('retention', 'keeps nothing: one of its counts has to be above 0')
  const { frequency, timezone } = job
  const dues = frequency === null ? [] : nextRuns(frequency, timezone, new Date(), runs)
  const found = simulate(
    await ownOf(id),
    policy,
    timezone,
    dues.map((due) => due.toISOString()),
  )
  return planned({ backups: found }, { deleted: found.flatMap((each) => (each.is_kept ? [] : [each.backup_id])) })
}

/**
 * Deletes the backups of a job that its retention does not keep, and records the reason of those that it keeps. One that
 * cannot be deleted now, such as while it is restored, stays until the next run.
 * @returns those that are gone
 */
export async function applyRetention(op: Op, job: string): Promise<string[]> {
  const surplus = await op.step('applying retention', async () => {
    const record = await jobRecords.get(job)
    if (!record?.retention) return []
    const going: string[] = []
    for (const own of groupsOf(await ownOf(job))) {
      const reasons = keptBy(own, record.retention, record.timezone)
      for (const { id, kept_by } of own) {
        const reason = reasons.get(id)
        if (reason === undefined) going.push(id)
        else if (reason !== kept_by) await backupRecords.updateWhere({ _id: id }, { set: { kept_by: reason } })
      }
    }
    return going
  })
  if (surplus.length === 0) return []
  return op.step('deleting surplus', async () => {
    const children = childrenOf(op, new Set())
    const gone: string[] = []
    for (const id of surplus) {
      const error = await children.remove(id)
      if (error === null) gone.push(id)
      else op.log(`Backup '${id}' is kept for now: ${error.message}`)
    }
    return gone
  })
}

const retaining = operation({
  accept: async (given: Given, { hold }): Promise<{ job: string }> => {
    const { id, retention, runs } = given
    if (retention) throw invalid('retention', 'is only for a plan: change the retention of the job')
    if (runs > 0) throw invalid('runs', 'is only for a plan')
    await hold(jobPathOf(id))
    requirePlan(await planOf(given, await jobRecords.require(id)))
    return { job: id }
  },
  run: async (op, { job }: { job: string }): Promise<Result<typeof backupJobs, 'retain'>> => {
    await op.commit()
    return { deleted: await applyRetention(op, job) }
  },
})

export const retain = {
  ...retaining,
  plan: async (given: Given): Promise<RetentionPlan> => planOf(given, await jobRecords.require(given.id)),
}
