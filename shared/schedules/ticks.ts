import type { Frequency } from '#shared/contracts/frequency.ts'
import { log } from '#shared/runtime/log.ts'
import { every } from '#shared/runtime/repeat.ts'
import { nextRun } from '#shared/schedules/next-run.ts'

const tickEveryMs = 1000
/** The store is asked this often, and when a schedule that was seen then is due. */
const lookEveryMs = 10_000

/**
 * The fields of a record that has due times. `next_run`: null while it has none. `started`: the due time whose run is being
 * started; any replica starts it again until this is cleared.
 */
export type Due = {
  id: string
  frequency: Frequency | null
  timezone: string
  next_run: string | null
  started?: string | undefined
  updated_at: string
}
type Claim = { next_run: string | null; started: string }
type Records<R extends Due> = {
  all: (filter: Record<string, unknown>) => Promise<R[]>
  updateWhere: (filter: Record<string, unknown>, change: { set: Claim }) => Promise<R | null>
}
type How<R extends Due> = {
  /** Starts the run of the claimed due time in `started`, and clears that. */
  start: (claimed: R) => Promise<void>
  part: string
}

/**
 * Runs the records of a collection at their due times, once over all replicas; runs that were missed are made up for by one.
 * @returns a function that begins it, and gives one that stops it
 */
export function ticksOf<R extends Due>(records: Records<R>, { start, part }: How<R>) {
  /** Claims a due time: only one replica changes the time of the next run. */
  async function claim({ id, next_run: due, frequency, timezone }: R, nowMs: number): Promise<R | null> {
    if (due === null || frequency === null || Date.parse(due) > nowMs) return null
    const next_run = nextRun(frequency, timezone, new Date(nowMs))?.toISOString() ?? null
    return records.updateWhere({ _id: id, next_run: due, enabled: true }, { set: { next_run, started: due } })
  }

  const started = (record: R) =>
    start(record).catch((error: Error) => log(part).warn({ err: error, id: record.id }, 'a run is not started yet'))

  /** Starts all that is due. */
  async function tick(nowMs = Date.now()): Promise<void> {
    const at = new Date(nowMs).toISOString()
    for (const record of await records.all({ enabled: true, next_run: { $lte: at } })) {
      const claimed = await claim(record, nowMs)
      if (claimed) await started(claimed)
    }
    // Those whose replica died between the claim and the start, a while ago.
    for (const record of await records.all({ started: { $gt: '' } }))
      if (Date.parse(record.updated_at) < nowMs - 10 * tickEveryMs) await started(record)
  }

  /** The time of the next look at the store: the next due time, {@link lookEveryMs} from now at most. */
  async function nextLook(): Promise<number> {
    const latest = Date.now() + lookEveryMs
    const soon = await records.all({ enabled: true, next_run: { $lte: new Date(latest).toISOString() } })
    return Math.min(latest, ...soon.map(({ next_run }) => Date.parse(next_run!)))
  }

  return (): (() => void) => {
    let lookAt = 0
    const look = async () => {
      if (Date.now() < lookAt) return
      await tick()
      lookAt = await nextLook()
    }
    return every(tickEveryMs, look, { part, failed: 'the schedules could not be read' })
  }
}
