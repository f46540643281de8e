import type { LogLine } from '../drivers/log-lines.ts'
import type { Place } from './cursor.ts'

/** The text of one answer. */
export const maxAnswerBytes = 2 ** 20

export type Selected = {
  lines: LogLine[]
  /** The place behind the last line that was read. */
  end: Extract<Place, { nanos: bigint }>
  /** Lines may be missing at the beginning: the place of the cursor was not found. */
  gap: boolean
}

type Wanted = {
  after: Extract<Place, { nanos: bigint }> | null
  since: bigint | null
  until: bigint | null
  /** Keep the last lines; otherwise the first ones. */
  isTail: boolean
  count: number
}

const isOutside = ({ nanos }: LogLine, { after, since, until }: Wanted): boolean =>
  (after !== null && nanos < after.nanos) || (since !== null && nanos < since) || (until !== null && nanos > until)

const isFull = (lines: LogLine[], bytes: number, count: number): boolean =>
  lines.length >= count || (lines.length > 0 && bytes > maxAnswerBytes)

/** Picks lines out of a log, in one pass and in bounded memory. */
export async function select(all: AsyncIterable<LogLine[]>, wanted: Wanted): Promise<Selected> {
  const { after, isTail, count } = wanted
  const lines: LogLine[] = []
  let bytes = 0
  let end = after ?? { nanos: 0n, count: 0 }
  let passed = 0
  /** @returns false when a line has no room any more */
  const take = (line: LogLine): boolean => {
    if (isOutside(line, wanted)) return true
    if (after?.nanos === line.nanos && passed < after.count) {
      passed++
      return true
    }
    if (!isTail && isFull(lines, bytes + line.text.length, count)) return false
    end = line.nanos === end.nanos ? { ...end, count: end.count + 1 } : { nanos: line.nanos, count: 1 }
    lines.push(line)
    bytes += line.text.length
    while (lines.length > 1 && (lines.length > count || bytes > maxAnswerBytes)) bytes -= lines.shift()!.text.length
    return true
  }
  for await (const batch of all) if (!batch.every(take)) break
  return { lines, end, gap: after !== null && passed < after.count }
}
