import { call } from '#shared/bus/call.ts'
import { replicationJobs } from '#shared/contracts/storage/replication-jobs.ts'
import { event } from '#shared/events/event.ts'
import { ticksOf } from '#shared/schedules/ticks.ts'
import { startDue } from '../../jobs/start-due.ts'
import { type JobRecord, jobRecords } from './model.ts'

async function start({ started: due, ...job }: JobRecord): Promise<void> {
  if (due === undefined) return
  const refused = await startDue({ ...job, due }, (...run) => call(replicationJobs, 'executeDue', ...run))
  const events = refused ? [event('ReplicationJobEnded', refused)] : []
  await jobRecords.updateWhere({ _id: job.id, started: due }, { set: { started: undefined }, events })
}

/** Runs the jobs at their due times. @returns a function that stops it */
export const runReplications = ticksOf<JobRecord>(jobRecords, { start, part: 'replication' })
