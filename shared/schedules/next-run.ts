import { Cron } from 'croner'
import type { Frequency, Run } from '#shared/contracts/frequency.ts'
import { ValidationError } from '#shared/errors.ts'

/** The pattern of a frequency: minute, hour, day, month, weekday. */
export function patternOf(frequency: Frequency): string {
  if (frequency === 'hourly') return '0 * * * *'
  if ('daily' in frequency) return `0 ${frequency.daily.hour} * * *`
  if ('weekly' in frequency) return `0 ${frequency.weekly.hour} * * ${frequency.weekly.day}`
  if ('monthly' in frequency) {
    const { day, hour } = frequency.monthly
    return day <= 28 ? `0 ${hour} ${day} * *` : `0 ${hour} 28-31 * *`
  }
  return frequency.custom.cron
}

const formats = new Map<string, Intl.DateTimeFormat>()

/** Formats are slow to make. There are some hundred time zones. */
function formatIn(timezone: string): Intl.DateTimeFormat {
  const known = formats.get(timezone)
  if (known) return known
  const made = new Intl.DateTimeFormat('en-GB', {
    timeZone: timezone,
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  })
  formats.set(timezone, made)
  return made
}

/** Date and time of an instant in a time zone, and the zone's offset from UTC in minutes. */
export function localOf(at: Date, timezone: string) {
  const parts = formatIn(timezone).formatToParts(at)
  const read = (type: string) => Number(parts.find((part) => part.type === type)?.value)
  const [year, month, day, hour, minute, second] = ['year', 'month', 'day', 'hour', 'minute', 'second'].map(read) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  const asUtc = Date.UTC(year, month - 1, day, hour, minute, second)
  return { year, month, day, hour, minute, offsetMinutes: Math.round((asUtc - at.getTime()) / 60_000) }
}

/** True on the day of a month that stands for one past its end. */
function isMonthly(at: Date, wanted: number, timezone: string): boolean {
  const { year, month, day } = localOf(at, timezone)
  const days = new Date(Date.UTC(year, month, 0)).getUTCDate()
  return day === Math.min(wanted, days)
}

/**
 * The first run after an instant; null when there is none.
 * @throws Error for a pattern or a time zone that does not exist
 */
export function nextRun(frequency: Frequency, timezone: string, after: Date): Date | null {
  const cron = new Cron(patternOf(frequency), { timezone, mode: '5-part' })
  const wanted = typeof frequency === 'object' && 'monthly' in frequency ? frequency.monthly.day : 0
  for (let next = cron.nextRun(after); next; next = cron.nextRun(next))
    if (wanted <= 28 || isMonthly(next, wanted, timezone)) return next
  return null
}

/** The next run from now on. @throws ValidationError for a pattern or time zone that does not exist, or that never comes */
export function requireNextRun(frequency: Frequency, timezone: string): string {
  const wrong = (field: string, message: string) => new ValidationError([{ field, code: 'invalid', message }])
  requireTimezone(timezone)
  let next: Date | null
  try {
    next = nextRun(frequency, timezone, new Date())
  } catch (error) {
    throw wrong('frequency', (error as Error).message)
  }
  if (!next) throw wrong('frequency', 'never comes: no day fits it')
  return next.toISOString()
}

/** @throws ValidationError for a time zone that does not exist */
export function requireTimezone(timezone: string): void {
  try {
    Intl.DateTimeFormat('en', { timeZone: timezone })
  } catch (error) {
    throw new ValidationError([{ field: 'timezone', code: 'invalid', message: (error as Error).message }])
  }
}

/** The runs after an instant. */
export function nextRuns(frequency: Frequency, timezone: string, after: Date, count: number): Date[] {
  const runs: Date[] = []
  for (let next = nextRun(frequency, timezone, after); next && runs.length < count;) {
    runs.push(next)
    next = nextRun(frequency, timezone, next)
  }
  return runs
}

/** The number of runs after an instant until another one; `most` at most. */
export function countRuns(frequency: Frequency, timezone: string, after: Date, until: Date, most: number): number {
  let count = 0
  for (let next = nextRun(frequency, timezone, after); next && next <= until && count < most; count++)
    next = nextRun(frequency, timezone, next)
  return count
}

const two = (value: number) => String(Math.abs(value)).padStart(2, '0')

/** The runs as a preview, with the changes of daylight saving between them. */
export function previewOf(frequency: Frequency, timezone: string, after: Date, count: number): Run[] {
  let offset = localOf(after, timezone).offsetMinutes
  return nextRuns(frequency, timezone, after, count).map((at) => {
    const { year, month, day, hour, minute, offsetMinutes } = localOf(at, timezone)
    const change = offsetMinutes - offset
    offset = offsetMinutes
    const zone = `${offsetMinutes < 0 ? '-' : '+'}${two(Math.trunc(offsetMinutes / 60))}:${two(offsetMinutes % 60)}`
    return {
      at: at.toISOString(),
      local: `${year}-${two(month)}-${two(day)}T${two(hour)}:${two(minute)}${zone}`,
      daylight_saving: change === 0 ? null : change > 0 ? 'begins' : 'ends',
    }
  })
}
