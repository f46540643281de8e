import { call } from '#shared/bus/call.ts'
import { snapshotSchedules } from '#shared/contracts/vm/snapshot-schedules.ts'
import { AppError } from '#shared/errors.ts'
import { idFrom } from '#shared/ids.ts'
import { log } from '#shared/runtime/log.ts'
import { every } from '#shared/runtime/repeat.ts'
import { type ScheduleRecord, scheduleRecords } from './model.ts'
import { nextRun } from './next-run.ts'

const tickEveryMs = 1000
/** The store is asked this often, and when a schedule that was seen then is due. */
const lookEveryMs = 10_000

/**
 * Claims a due time: only one replica changes the time of the next run. Runs that were missed are made up for by one.
 * @returns the record with the claim; null when another replica was first
 */
export async function claim(schedule: ScheduleRecord, nowMs: number): Promise<ScheduleRecord | null> {
  const { id, next_run: due, frequency, timezone } = schedule
  if (due === null || Date.parse(due) > nowMs) return null
  const next = nextRun(frequency, timezone, new Date(nowMs))?.toISOString() ?? null
  return scheduleRecords.updateWhere(
    { _id: id, next_run: due, enabled: true },
    { set: { next_run: next, last_run: due, started: due } },
  )
}

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
  const set = { started: undefined, ...(last_error !== null && { last_error }) }
  await scheduleRecords.updateWhere({ _id: id, started: due }, { set })
}

/** Starts all that is due. */
export async function tick(nowMs = Date.now()): Promise<void> {
  const at = new Date(nowMs).toISOString()
  for (const schedule of await scheduleRecords.all({ enabled: true, next_run: { $lte: at } })) {
    const claimed = await claim(schedule, nowMs)
    if (claimed) await started(claimed)
  }
  // Those whose replica died between the claim and the start, a while ago.
  for (const schedule of await scheduleRecords.all({ started: { $gt: '' } }))
    if (Date.parse(schedule.updated_at) < nowMs - 10 * tickEveryMs) await started(schedule)
}

const started = (schedule: ScheduleRecord) =>
  start(schedule).catch((error: Error) =>
    log('schedules').warn({ err: error, schedule: schedule.id }, 'a scheduled snapshot is not started yet'),
  )

/** The time of the next look at the store: the next due time, {@link lookEveryMs} from now at most. */
async function nextLook(): Promise<number> {
  const latest = Date.now() + lookEveryMs
  const soon = await scheduleRecords.all({ enabled: true, next_run: { $lte: new Date(latest).toISOString() } })
  return Math.min(latest, ...soon.map(({ next_run }) => Date.parse(next_run!)))
}

/** Runs the schedules. @returns a function that stops it */
export function runSchedules(): () => void {
  let lookAt = 0
  const look = async () => {
    if (Date.now() < lookAt) return
    await tick()
    lookAt = await nextLook()
  }
  return every(tickEveryMs, look, { part: 'schedules', failed: 'the schedules of snapshots could not be read' })
}
