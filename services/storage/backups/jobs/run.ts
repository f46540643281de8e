import type { Params, Result } from '#shared/contract/contract.ts'
import type { backupJobs, JobRun, Outcome, Selection } from '#shared/contracts/storage/backup-jobs.ts'
import { AppError, ConflictError, UnavailableError } from '#shared/errors.ts'
import { event, now } from '#shared/events/event.ts'
import { findEntry } from '#shared/operation/entries.ts'
import { type Accepting, type Op, operation } from '#shared/operation/kinds.ts'
import { openToWrite } from '../store/open-store.ts'
import { backUpAll } from './back-up-all.ts'
import { jobPathOf, jobRecords } from './model.ts'
import { applyRetention } from './retain.ts'
import { select, type Target } from './select.ts'

type Running = {
  job: string
  due: string | null
  missed: number
  selection: Selection
  pool: string
  perNode: number
  bandwidthMib: number | null
}
type Selected = { targets: Target[]; error: string | null }

/** Checks a run. One of the same job that goes on holds it. */
async function acceptRun(
  { id, due, missed }: { id: string; due: string | null; missed: number },
  { hold }: Pick<Accepting, 'hold'>,
): Promise<Running> {
  await hold(jobPathOf(id))
  const { selection, pool, per_node, bandwidth_mib } = await jobRecords.require(id)
  return { job: id, due, missed, selection, pool, perNode: per_node, bandwidthMib: bandwidth_mib }
}

const count = (outcomes: readonly Outcome[], state: Outcome['state']) =>
  outcomes.filter((outcome) => outcome.state === state).length

/** The failure of a run as a whole; null when every one was backed up, or was skipped for itself. */
export function failureOf(outcomes: readonly Outcome[]): string | null {
  const failed = outcomes.filter(({ state }) => state === 'failed')
  if (failed.length === 0) return null
  const [first] = failed
  const others = failed.length > 1 ? `, and of ${failed.length - 1} others` : ''
  return `The backup of ${first!.vm_id ?? first!.container_id} failed${others}: ${first!.reason}`
}

async function begin(op: Op, { job, due, missed }: Running): Promise<void> {
  const at = now()
  const last_run: JobRun = {
    operation_id: op.id,
    due,
    missed,
    started_at: at,
    ended_at: null,
    state: 'running',
    succeeded: 0,
    failed: 0,
    skipped: 0,
    error: null,
  }
  const events =
    missed > 0 && due !== null ? [event('BackupRunsMissed', { job_id: job, due, missed, timestamp: at })] : []
  await jobRecords.updateWhere({ _id: job }, { set: { last_run, stopping: undefined }, events })
}

/** Records the end of a run in its job, unless another run has begun since, or the job is gone. */
async function finish(op: Op, job: string, outcomes: readonly Outcome[], error: string | null): Promise<void> {
  const record = await jobRecords.get(job)
  if (record?.last_run?.operation_id !== op.id || record.last_run.state !== 'running') return
  const timestamp = now()
  const counts = {
    succeeded: count(outcomes, 'succeeded'),
    failed: count(outcomes, 'failed'),
    skipped: count(outcomes, 'skipped'),
  }
  const last_run: JobRun = {
    ...record.last_run,
    ...counts,
    state: error === null ? 'succeeded' : 'failed',
    error,
    ended_at: timestamp,
  }
  const events = [event('BackupJobEnded', { job_id: job, operation_id: op.id, ...counts, error, timestamp })]
  await jobRecords.updateWhere(
    { _id: job, 'last_run.operation_id': op.id },
    { set: { last_run, stopping: undefined }, events },
  )
}

/**
 * Finds the virtual machines and containers, and prepares the store. The backups would all do that, in calls of one operation, where
 * the later ones remove files of the earlier ones as those of an earlier try.
 */
async function prepare({ selection, pool }: Running): Promise<Selected> {
  try {
    await openToWrite(pool)
    return { targets: await select(selection), error: null }
  } catch (error) {
    if (!(error instanceof AppError) || error instanceof UnavailableError) throw error
    return { targets: [], error: error.message }
  }
}

async function runJob(op: Op, running: Running): Promise<Result<typeof backupJobs, 'run'>> {
  const { job } = running
  await op.step('beginning', () => begin(op, running), {
    undo: async () => {
      const failure = (await findEntry(op.id))?.failure
      await finish(op, job, [], failure?.message ?? `Operation ${op.id} failed`)
    },
  })
  const { targets, error: missing } = await op.step('preparing', () => prepare(running))
  // Backups that were made stay, also of a run that fails or is stopped later.
  await op.commit()
  const outcomes = await op.step('backing up', () => backUpAll(op, targets, running))
  const deleted = await applyRetention(op, job)
  const error = missing ?? failureOf(outcomes)
  await op.step('recording run', () => finish(op, job, outcomes, error))
  if (error !== null) throw new ConflictError(error, { details: { outcomes, deleted } })
  return { outcomes, deleted }
}

export const run = operation({
  accept: ({ id }: Params<typeof backupJobs, 'run'>, accepting) => acceptRun({ id, due: null, missed: 0 }, accepting),
  run: runJob,
})

export const runDue = operation({
  accept: (given: Params<typeof backupJobs, 'runDue'>, accepting) => acceptRun(given, accepting),
  run: runJob,
})
