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
   * The lines in the order of the engine.
   * @param how.sinceSeconds lines of before may be left out
   * @param how.tailFragments the engine may begin so many fragments before the end, also within a line
   */
  lines: (ref: Ref, how: { sinceSeconds: number | null; tailFragments: number | null }) => AsyncIterable<LogLine>
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

type Open = { nanos: bigint; parts: Buffer[]; length: number; truncated: boolean }
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
export async function* linesOf(pieces: AsyncIterable<Piece>): AsyncGenerator<LogLine> {
  const sides: Record<1 | 2, Side> = { 1: { stamp: null, line: null }, 2: { stamp: null, line: null } }
  for await (const { stream, bytes, isFirst } of pieces) {
    const side = sides[stream]
    if (isFirst) side.stamp = Buffer.alloc(0)
    const rest = side.stamp ? behindStamp(side, side.stamp, bytes) : bytes
    if (rest === null) continue
    side.line ??= emptyLine(0n)
    const isEnd = rest.at(-1) === 0x0a
    add(side.line, isEnd ? rest.subarray(0, -1) : rest)
    if (!isEnd) continue
    yield closed(side.line, stream)
    side.line = null
  }
  for (const stream of [1, 2] as const) if (sides[stream].line?.length) yield closed(sides[stream].line, stream)
}

const emptyLine = (nanos: bigint): Open => ({ nanos, parts: [], length: 0, truncated: false })

/**
 * Takes the time stamp off the beginning of a frame; the first one of a line is the line's.
 * @returns the rest, or null when the stamp is not whole yet
 */
function behindStamp(side: Side, before: Buffer, bytes: Buffer): Buffer | null {
  const known = before.length === 0 ? bytes : Buffer.concat([before, bytes])
  const blank = known.indexOf(0x20)
  if (blank < 0 && known.length < maxStampBytes) {
    side.stamp = Buffer.from(known)
    return null
  }
  const nanos = blank < 0 ? null : nanosOf(known.toString('latin1', 0, blank))
  side.stamp = null
  side.line ??= emptyLine(nanos ?? 0n)
  return nanos === null ? known : known.subarray(blank + 1)
}

function add(line: Open, bytes: Buffer): void {
  const left = maxLineBytes - line.parts.reduce((sum, part) => sum + part.length, 0)
  if (bytes.length > left) line.truncated = true
  // A copy: the piece is a view of the larger buffer that it came in.
  if (left > 0 && bytes.length > 0) line.parts.push(Buffer.from(bytes.subarray(0, left)))
  line.length += bytes.length
}

const closed = ({ nanos, parts, truncated }: Open, stream: 1 | 2): LogLine => ({
  nanos,
  stream,
  text: (parts.length === 1 ? parts[0]! : Buffer.concat(parts)).toString('utf8'),
  truncated,
})
