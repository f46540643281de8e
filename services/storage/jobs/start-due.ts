import type { Frequency } from '#shared/contracts/frequency.ts'
import { AppError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { idFrom } from '#shared/ids.ts'
import { countRuns } from '#shared/schedules/next-run.ts'

const mostMissed = 1000

/** A job whose due time was claimed. */
type Claimed = { id: string; due: string; frequency: Frequency | null; timezone: string }
type DueRun = { id: string; due: string; missed: number }

/**
 * Starts the run of a claimed due time. Its id follows from both, so that it is started once.
 * @returns the fields of the event of a run that was refused; null for one that was started
 */
export async function startDue(
  { id, due, frequency, timezone }: Claimed,
  run: (due: DueRun, operation: { operationId: string }) => Promise<unknown>,
) {
  const missed = frequency === null ? 0 : countRuns(frequency, timezone, new Date(due), new Date(), mostMissed)
  const operationId = idFrom(`${id}/${due}`)
  try {
    await run({ id, due, missed }, { operationId })
    return null
  } catch (error) {
    // Refused, such as while the run before goes on: the next due time comes.
    if (!(error instanceof AppError) || error.status === 503) throw error
    const counts = { succeeded: 0, failed: 0, skipped: 0 }
    return { job_id: id, operation_id: operationId, ...counts, error: error.message, timestamp: now() }
  }
}
