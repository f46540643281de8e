import { localOf } from '#shared/schedules/next-run.ts'
import type { Retention } from '#shared/contracts/storage/retention.ts'

/** A backup as retention sees it. Protected ones neither count nor go. */
export type Kept = { id: string; at: string; protected: boolean }

/** The names of the hour, day, week, month and year of an instant. */
type Periods = Record<Exclude<keyof Retention, 'last'>, string>

const two = (value: number) => String(value).padStart(2, '0')
const dayMs = 86_400_000

/** The ISO 8601 week of a date: the week of a year that has its Thursday. */
function weekOf(year: number, month: number, day: number): string {
  const date = Date.UTC(year, month - 1, day)
  const weekday = (new Date(date).getUTCDay() + 6) % 7
  const thursday = new Date(date + (3 - weekday) * dayMs)
  const ofYear = Math.floor((thursday.getTime() - Date.UTC(thursday.getUTCFullYear(), 0, 1)) / dayMs)
  return `${thursday.getUTCFullYear()}-W${two(Math.floor(ofYear / 7) + 1)}`
}

const known = new Map<string, Periods>()
const mostKnown = 20_000

/** The periods of an instant in a time zone. An hour that comes twice, when daylight saving ends, has two names. */
export function periodsOf(at: string, timezone: string): Periods {
  const key = `${timezone} ${at}`
  const found = known.get(key)
  if (found) return found
  const { year, month, day, hour, offsetMinutes } = localOf(new Date(at), timezone)
  const [monthly, sign] = [`${year}-${two(month)}`, offsetMinutes < 0 ? '-' : '+']
  const daily = `${monthly}-${two(day)}`
  const zone = `${sign}${two(Math.trunc(Math.abs(offsetMinutes) / 60))}:${two(Math.abs(offsetMinutes) % 60)}`
  const periods = {
    hourly: `${daily}T${two(hour)}${zone}`,
    daily,
    weekly: weekOf(year, month, day),
    monthly,
    yearly: String(year),
  }
  if (known.size >= mostKnown) known.clear()
  known.set(key, periods)
  return periods
}

/** Times are of one form, so that their order is that of their texts. */
export const newestFirst = (a: { at: string; id: string }, b: { at: string; id: string }): number => {
  if (a.at !== b.at) return a.at < b.at ? 1 : -1
  return a.id < b.id ? 1 : -1
}

const rules = ['hourly', 'daily', 'weekly', 'monthly', 'yearly'] as const

/**
 * The backups that a retention keeps, with the reason of each; all others may go. The rules of Proxmox Backup Server: last,
 * hourly, daily, weekly, monthly, yearly in this order; the newest backup of a period is kept for it; periods without a
 * backup do not count, and neither do those of which an earlier rule keeps a backup.
 * @param timezone that of days, weeks, months and years
 */
export function keptBy(backups: readonly Kept[], retention: Retention, timezone: string): Map<string, string> {
  const reasons = new Map<string, string>()
  for (const { id, protected: isProtected } of backups) if (isProtected) reasons.set(id, 'protected')
  const counted = backups
    .filter((backup) => !backup.protected)
    .toSorted(newestFirst)
    .map(({ id, at }) => ({ id, periods: periodsOf(at, timezone) }))
  for (const [index, { id }] of counted.slice(0, retention.last).entries()) reasons.set(id, `last ${index + 1}`)
  for (const rule of rules) {
    if (retention[rule] === 0) continue
    const covered = new Set(counted.filter(({ id }) => reasons.has(id)).map(({ periods }) => periods[rule]))
    let left = retention[rule]
    for (const { id, periods } of counted) {
      const period = periods[rule]
      if (covered.has(period)) continue
      if (left-- <= 0) break
      covered.add(period)
      reasons.set(id, `${rule} ${period}`)
    }
  }
  return reasons
}

/** Checks that a retention keeps something. */
export const keepsAny = (retention: Retention): boolean => Object.values(retention).some((count) => count > 0)
