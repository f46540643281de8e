import type { Piece } from '#shared/nodes/docker/demultiplex.ts'
import type { Container } from '#shared/contracts/container/containers.ts'

/** One line of a log, joined from the fragments that the engine keeps. */
export type LogLine = {
  /** Nanoseconds since 1970 of its first fragment. */
  nanos: bigint
  stream: 1 | 2
  text: string
  /** It was longer than {@link maxLineBytes}. */
  truncated: boolean
}

type Ref = Pick<Container, 'id' | 'name' | 'node' | 'engine_id'>

export type TimedLogs = {
  kind: 'timed'
  /**
   * The lines in the order of the engine, those that came together in one array.
   * @param how.sinceSeconds lines of before may be left out
   * @param how.tailFragments the engine may begin so many fragments before the end, also within a line
   */
  lines: (ref: Ref, how: { sinceSeconds: number | null; tailFragments: number | null }) => AsyncIterable<LogLine[]>
}

export type ConsoleLog = {
  kind: 'console'
  /** A part of the text from a place on; `total` is the length of all that is kept. */
  read: (ref: Ref, from: number | 'end', maxBytes: number) => Promise<{ bytes: Buffer; start: number; total: number }>
}

/** The part of a line that is kept. */
export const maxLineBytes = 256 * 2 ** 10
/** Longest time stamp, with the blank behind it. */
const maxStampBytes = 64

/** `length` counts all bytes of the line, `kept` those in `parts`. */
type Open = { nanos: bigint; parts: Buffer[]; length: number; kept: number; truncated: boolean }
type Side = { stamp: Buffer | null; line: Open | null }

/** An RFC 3339 time with up to nine digits of fraction, in nanoseconds. null for a text that is none. */
export function nanosOf(stamp: string): bigint | null {
  const [, whole, fraction = '', zone] =
    /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(stamp) ?? []
  const ms = Date.parse(`${whole}${zone}`)
  return Number.isNaN(ms) ? null : BigInt(ms) * 1_000_000n + BigInt(fraction.padEnd(9, '0'))
}

/** The time with all its digits, in UTC. */
export function timeOf(nanos: bigint): string {
  const whole = new Date(Number(nanos / 1_000_000_000n) * 1000).toISOString().slice(0, 19)
  return `${whole}.${(nanos % 1_000_000_000n).toString().padStart(9, '0')}Z`
}

/**
 * Joins fragments into lines. Each frame of the engine is a time stamp, a blank, and a fragment; the last fragment of a
 * line ends with a line break. A last line without one is a line too. Memory is bounded by the longest line that is kept.
 */
export async function* linesOf(pieces: AsyncIterable<Piece[]>): AsyncGenerator<LogLine[]> {
  const sides: Record<1 | 2, Side> = { 1: { stamp: null, line: null }, 2: { stamp: null, line: null } }
  const ofStamp = stampReader()
  const take = ({ stream, bytes, isFirst }: Piece): LogLine | null => {
    const side = sides[stream]
    if (isFirst) side.stamp = nothing
    const rest = side.stamp ? behindStamp(side, side.stamp, bytes, ofStamp) : bytes
    if (rest === null) return null
    side.line ??= emptyLine(0n)
    const isEnd = rest[rest.length - 1] === 0x0a
    const text = isEnd ? rest.subarray(0, -1) : rest
    if (!isEnd) {
      add(side.line, text)
      return null
    }
    const line = closed(side.line, text, stream)
    side.line = null
    return line
  }
  for await (const batch of pieces) {
    const lines: LogLine[] = []
    for (const piece of batch) {
      const line = take(piece)
      if (line) lines.push(line)
    }
    if (lines.length > 0) yield lines
  }
  for (const stream of [1, 2] as const) {
    const { line } = sides[stream]
    if (line?.length) yield [closed(line, nothing, stream)]
  }
}

const nothing = Buffer.alloc(0)

/** Reads time stamps as {@link nanosOf}; the date of the last one is kept, since most lines have the second of the one before. */
function stampReader(): (stamp: string) => bigint | null {
  /** Up to the seconds: `2026-01-01T00:00:00`. */
  const wholeLength = 19
  let whole = ''
  let nanosOfWhole = 0n
  return (stamp) => {
    const isUsual = stamp.length === wholeLength + 11 && stamp[wholeLength] === '.' && stamp.endsWith('Z')
    if (isUsual && stamp.startsWith(whole) && whole !== '') {
      const fraction = stamp.slice(wholeLength + 1, -1)
      if (/^\d{9}$/.test(fraction)) return nanosOfWhole + BigInt(fraction)
    }
    const nanos = nanosOf(stamp)
    if (nanos !== null && isUsual) {
      whole = stamp.slice(0, wholeLength)
      nanosOfWhole = nanos - (nanos % 1_000_000_000n)
    }
    return nanos
  }
}

const emptyLine = (nanos: bigint): Open => ({ nanos, parts: [], length: 0, kept: 0, truncated: false })

/**
 * Takes the time stamp off the beginning of a frame; the first one of a line is the line's.
 * @returns the rest, or null when the stamp is not whole yet
 */
function behindStamp(
  side: Side,
  before: Buffer,
  bytes: Buffer,
  ofStamp: (stamp: string) => bigint | null,
): Buffer | null {
  const known = before.length === 0 ? bytes : Buffer.concat([before, bytes])
  const blank = known.indexOf(0x20)
  if (blank < 0 && known.length < maxStampBytes) {
    side.stamp = Buffer.from(known)
    return null
  }
  const nanos = blank < 0 ? null : ofStamp(known.toString('latin1', 0, blank))
  side.stamp = null
  side.line ??= emptyLine(nanos ?? 0n)
  return nanos === null ? known : known.subarray(blank + 1)
}

/** The part of some bytes for which a line has room. */
function fitting(line: Open, bytes: Buffer): Buffer {
  const left = maxLineBytes - line.kept
  if (bytes.length > left) line.truncated = true
  return bytes.length > left ? bytes.subarray(0, left) : bytes
}

function add(line: Open, bytes: Buffer): void {
  line.length += bytes.length
  const kept = fitting(line, bytes)
  if (kept.length === 0) return
  // A copy: the piece is a view of the larger buffer that it came in.
  line.parts.push(Buffer.from(kept))
  line.kept += kept.length
}

function closed(line: Open, last: Buffer, stream: 1 | 2): LogLine {
  const end = fitting(line, last)
  const { nanos, parts, truncated } = line
  const whole = parts.length === 0 ? end : Buffer.concat([...parts, end])
  return { nanos, stream, text: whole.toString('utf8'), truncated }
}
