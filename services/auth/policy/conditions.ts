import type { Hours } from '#shared/contracts/access/permissions.ts'
import type { Violation } from '#shared/errors.ts'
import { isInNetworks, isNetwork } from '#shared/access/networks.ts'
import type { Circumstances, PolicyGrant } from './policy.ts'

/** The condition of a grant that is not met in these circumstances, or null. */
export function unmet(grant: PolicyGrant, { at, address }: Circumstances): 'expired' | 'network' | 'hours' | null {
  if (grant.expires_at !== undefined && Date.parse(grant.expires_at) <= at.getTime()) return 'expired'
  if (grant.networks && address !== null && !isInNetworks(address, grant.networks)) return 'network'
  if (grant.hours && !isWithinHours(at, grant.hours)) return 'hours'
  return null
}

const minuteMs = 60_000

/**
 * The times after this moment at which a grant may start or stop to hold by itself; weekly hours start and stop at a
 * full minute.
 */
export function nextChange({ expires_at, hours }: PolicyGrant, at: Date): number[] {
  const end = expires_at === undefined ? Infinity : Date.parse(expires_at)
  if (end <= at.getTime()) return []
  const minute = hours ? (Math.floor(at.getTime() / minuteMs) + 1) * minuteMs : Infinity
  return Math.min(end, minute) === Infinity ? [] : [Math.min(end, minute)]
}

const clocks = new Map<string, Intl.DateTimeFormat>()
const weekdays = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat']

/** Day of the week (0 is Sunday) and minute of the day in a time zone. */
export function clockIn(timezone: string, at: Date): { day: number; minute: number } {
  let clock = clocks.get(timezone)
  if (!clock) {
    clock = new Intl.DateTimeFormat('en-US', {
      timeZone: timezone,
      weekday: 'short',
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
    })
    clocks.set(timezone, clock)
  }
  const parts = Object.fromEntries(clock.formatToParts(at).map(({ type, value }) => [type, value]))
  return { day: weekdays.indexOf(parts['weekday']!), minute: Number(parts['hour']) * 60 + Number(parts['minute']) }
}

const minuteOf = (time: string) => Number(time.slice(0, 2)) * 60 + Number(time.slice(3))

export function isWithinHours(at: Date, { timezone, windows }: Hours): boolean {
  const { day, minute } = clockIn(timezone, at)
  const yesterday = (day + 6) % 7
  return windows.some(({ days, from, until }) => {
    const [begin, end] = [minuteOf(from), minuteOf(until)]
    if (begin < end) return days.includes(day) && minute >= begin && minute < end
    return (days.includes(day) && minute >= begin) || (days.includes(yesterday) && minute < end)
  })
}

function isTimezone(timezone: string): boolean {
  try {
    clockIn(timezone, new Date())
    return true
  } catch {
    return false
  }
}

type Conditions = Pick<PolicyGrant, 'networks' | 'hours' | 'expires_at'>

/** Violations in the conditions of a new grant. */
export function conditionViolations({ networks = [], hours, expires_at }: Conditions, prefix = ''): Violation[] {
  const wrong = networks.flatMap((network, i) =>
    isNetwork(network)
      ? []
      : [{ field: `networks.${i}`, message: `'${network}' is not a network such as 10.0.0.0/8 or 2001:db8::/32` }],
  )
  if (hours && !isTimezone(hours.timezone))
    wrong.push({
      field: 'hours.timezone',
      message: `'${hours.timezone}' is not a time zone such as UTC or Europe/Berlin`,
    })
  if (expires_at !== undefined && Date.parse(expires_at) <= Date.now())
    wrong.push({ field: 'expires_at', message: 'is in the past' })
  return wrong.map(({ field, message }) => ({ field: `${prefix}${field}`, code: 'invalid', message }))
}
