import type { Frequency } from '#shared/contracts/frequency.ts'
import { previewOf, requireNextRun, requireTimezone } from '#shared/schedules/next-run.ts'

/** Fields of a job that decide when it runs. */
type Times = { frequency: Frequency | null; timezone: string; enabled: boolean }
/** Changes of them. TypeBox infers a type of its own for the contract's union of frequencies. */
type Given = { frequency?: unknown; timezone?: string | undefined; enabled?: boolean | undefined }

const previewed = 20

/** The time of the next run. @throws ValidationError for a pattern or time zone that does not exist, or that never comes */
export function nextOf({ frequency, timezone, enabled }: Times): string | null {
  requireTimezone(timezone)
  if (frequency === null) return null
  const next = requireNextRun(frequency, timezone)
  return enabled ? next : null
}

/** The frequency and the next run of a job after a change; a due time stays unless the frequency or zone is another. @throws as {@link nextOf} */
export function timesAfter(before: Times & { next_run: string | null }, given: Given) {
  const frequency = (given.frequency === undefined ? before.frequency : given.frequency) as Frequency | null
  const { timezone = before.timezone, enabled = before.enabled } = given
  const next = nextOf({ frequency, timezone, enabled })
  const isSame = given.frequency === undefined && given.timezone === undefined && before.next_run !== null
  return { frequency, next_run: next !== null && isSame ? before.next_run : next }
}

/** The next runs, with the changes of daylight saving. */
export const previewOfJob = ({ frequency, timezone }: Times) => ({
  data: frequency === null ? [] : previewOf(frequency, timezone, new Date(), previewed),
})
