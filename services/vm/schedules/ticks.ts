import { call } from '#shared/bus/call.ts'
import { snapshotSchedules } from '#shared/contracts/vm/snapshot-schedules.ts'
import { AppError } from '#shared/errors.ts'
import { idFrom } from '#shared/ids.ts'
import { ticksOf } from '#shared/schedules/ticks.ts'
import { type ScheduleRecord, scheduleRecords } from './model.ts'

/** Starts the operation of a claimed due time. Its id follows from both, so that it is started once. */
async function start({ id, started: due }: ScheduleRecord): Promise<void> {
  if (due === undefined) return
  let last_error: string | null = null
  try {
    await call(snapshotSchedules, 'run', { schedule: id, due }, { operationId: idFrom(`${id}/${due}`) })
  } catch (error) {
    // Refused for now, such as a virtual machine that another operation holds: the next due time comes.
    if (!(error instanceof AppError) || error.status === 503) throw error
    last_error = error.message
  }
  const set = { started: undefined, last_run: due, ...(last_error !== null && { last_error }) }
  await scheduleRecords.updateWhere({ _id: id, started: due }, { set })
}

export const runSchedules = ticksOf<ScheduleRecord>(scheduleRecords, { start, part: 'schedules' })
