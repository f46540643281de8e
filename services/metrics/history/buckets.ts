import { invalid } from '#shared/errors.ts'

const unitMs = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const
type Unit = keyof typeof unitMs
export type Interval = { count: number; unit: Unit; ms: number }

export const mostBuckets = 5000

/** Parses a duration of the contract, such as `5m`. */
export function intervalOf(text: string): Interval {
  const unit = text.at(-1) as Unit
  const count = Number(text.slice(0, -1))
  return { count, unit, ms: count * unitMs[unit] }
}

/** Lengths of buckets that people read easily. */
const usual = '1s 5s 10s 30s 1m 2m 5m 10m 20m 30m 1h 2h 3h 6h 12h 1d 2d 1w 2w 4w 8w 26w 52w'.split(' ').map(intervalOf)

/** The shortest usual interval of which at most so many make up the time span. */
export const intervalFor = (spanMs: number, most: number): Interval =>
  usual.find(({ ms }) => spanMs / ms <= most) ?? intervalOf(`${Math.ceil(spanMs / most / unitMs.d)}d`)

/** Offset of a zone from UTC at a time, milliseconds. @throws ValidationError for an unknown zone */
function offsetIn(zone: string): (time: number) => number {
  if (zone === 'UTC') return () => 0
  const format = formatOf(zone)
  return (time) => {
    const fields = Object.fromEntries(format.formatToParts(time).map(({ type, value }) => [type, Number(value)]))
    const { year, month, day, hour, minute, second } = fields as Record<string, number>
    const local = Date.UTC(year!, month! - 1, day, hour, minute, second)
    return local - Math.floor(time / 1000) * 1000
  }
}

const formats = new Map<string, Intl.DateTimeFormat>()

function formatOf(zone: string): Intl.DateTimeFormat {
  const known = formats.get(zone)
  if (known) return known
  const number = 'numeric'
  const options = { year: number, month: number, day: number, hour: number, minute: number, second: number } as const
  try {
    const format = new Intl.DateTimeFormat('en-US', { timeZone: zone, hourCycle: 'h23', ...options })
    if (formats.size > 100) formats.clear()
    formats.set(zone, format)
    return format
  } catch {
    throw invalid('zone', `'${zone}' is not a time zone such as Europe/Berlin`)
  }
}

/**
 * The edges of the buckets of a time span: its first bucket contains the start, the last one the end. Seconds and minutes
 * are counted from 1970; hours from the midnight of the zone; days and weeks are those of the zone, so that some have 23
 * or 25 hours. Weeks begin on Monday.
 * @throws ValidationError for too many buckets
 */
export function edgesOf(from: number, to: number, interval: Interval, zone = 'UTC'): Float64Array {
  const { unit, ms } = interval
  const offset = offsetIn(zone)
  const count = (to - from) / ms
  if (count > mostBuckets)
    throw invalid('interval', `makes ${Math.ceil(count)} buckets; at most ${mostBuckets} are answered at once`)
  if (unit === 's' || unit === 'm') return even(from, to, ms)
  if (unit === 'h') return hours(from, to, ms, offset)
  return days(from, to, interval, offset)
}

function even(from: number, to: number, ms: number): Float64Array {
  const first = Math.floor(from / ms)
  const last = Math.max(first + 1, Math.ceil(to / ms))
  return Float64Array.from({ length: last - first + 1 }, (_, index) => (first + index) * ms)
}

type Offset = (time: number) => number

const dayOf = (time: number, offset: Offset) => Math.floor((time + offset(time)) / unitMs.d)

/** The first moment of a day of the zone. */
function beginOf(day: number, offset: Offset): number {
  const midnight = day * unitMs.d
  const guess = midnight - offset(midnight - offset(midnight))
  if (dayOf(guess, offset) === day && dayOf(guess - 1, offset) < day) return guess
  // The clock is changed at midnight: search the first moment whose date is this day.
  let [low, high] = [midnight - 1.25 * unitMs.d, midnight + 1.25 * unitMs.d]
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (dayOf(middle, offset) < day) low = middle
    else high = middle
  }
  return high
}

/** Steps from each midnight; the last step of a day ends with it. */
function hours(from: number, to: number, ms: number, offset: Offset): Float64Array {
  const edges: number[] = []
  for (let day = dayOf(from, offset); edges.length === 0 || edges.at(-1)! < to; day++) {
    const [begin, end] = [beginOf(day, offset), beginOf(day + 1, offset)]
    for (let edge = begin; edge < end; edge += ms) edges.push(edge)
  }
  return trimmed(edges, from, to)
}

/** 1970-01-01 was a Thursday. */
const firstMonday = 4

function days(from: number, to: number, { count, unit }: Interval, offset: Offset): Float64Array {
  const step = unit === 'w' ? 7 * count : count
  const origin = unit === 'w' ? firstMonday : 0
  const first = origin + Math.floor((dayOf(from, offset) - origin) / step) * step
  const edges: number[] = []
  for (let day = first; edges.length < 2 || edges.at(-1)! < to; day += step) edges.push(beginOf(day, offset))
  return trimmed(edges, from, to)
}

/** Without the edges before the bucket of the start and after the one of the end. */
function trimmed(edges: number[], from: number, to: number): Float64Array {
  const first = Math.max(
    0,
    edges.findLastIndex((edge) => edge <= from),
  )
  const end = edges.findIndex((edge, index) => index > first && edge >= to)
  return Float64Array.from(edges.slice(first, end < 0 ? edges.length : end + 1))
}
