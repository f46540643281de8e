import { call } from '#shared/bus/call.ts'
import { replicationJobs } from '#shared/contracts/storage/replication-jobs.ts'
import { AppError } from '#shared/errors.ts'
import { event, now } from '#shared/events/event.ts'
import { idFrom } from '#shared/ids.ts'
import { countRuns } from '#shared/schedules/next-run.ts'
import { ticksOf } from '#shared/schedules/ticks.ts'
import { type JobRecord, jobRecords } from './model.ts'

const mostMissed = 1000

/** Starts the run of a claimed due time. Its id follows from both, so that it is started once. */
async function start({ id, started: due, frequency, timezone }: JobRecord): Promise<void> {
  if (due === undefined) return
  const missed = frequency === null ? 0 : countRuns(frequency, timezone, new Date(due), new Date(), mostMissed)
  const operationId = idFrom(`${id}/${due}`)
  let refusal: string | null = null
  try {
    await call(replicationJobs, 'executeDue', { id, due, missed }, { operationId })
  } catch (error) {
    // Refused, such as while the run before goes on: the next due time comes.
    if (!(error instanceof AppError) || error.status === 503) throw error
    refusal = error.message
  }
  const told = { job_id: id, operation_id: operationId, succeeded: 0, failed: 0, skipped: 0, timestamp: now() }
  const events = refusal === null ? [] : [event('ReplicationJobEnded', { ...told, error: refusal })]
  await jobRecords.updateWhere({ _id: id, started: due }, { set: { started: undefined }, events })
}

/** Runs the jobs at their due times. @returns a function that stops it */
export const runReplications = ticksOf<JobRecord>(jobRecords, { start, part: 'replication' })
