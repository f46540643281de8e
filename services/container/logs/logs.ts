import { setTimeout as delay } from 'node:timers/promises'
import type { Params, Result } from '#shared/contract/contract.ts'
import type { containers } from '#shared/contracts/container/containers.ts'
import { ConflictError, invalid } from '#shared/errors.ts'
import type { ConsoleLog, LogLine, TimedLogs } from '../drivers/log-lines.ts'
import { nanosOf, timeOf } from '../drivers/log-lines.ts'
import { driverOf } from '../drivers/drivers.ts'
import { type ContainerRecord, containerRecords } from '../model.ts'
import { cursorOf, placeOf } from './cursor.ts'
import { maxAnswerBytes, select } from './select.ts'

type Given = Params<typeof containers, 'logs'>
type Answer = Result<typeof containers, 'logs'>

/** Time between two looks of a caller that waits for lines. */
const lookEveryMs = 250

const shown = ({ nanos, stream, text, truncated }: LogLine): Answer['lines'][number] => ({
  time: timeOf(nanos),
  stream: stream === 1 ? 'stdout' : 'stderr',
  text,
  truncated,
})

async function readTimed(logs: TimedLogs, container: ContainerRecord, given: Given): Promise<Answer> {
  const { tail, since, until, cursor } = given
  const place = cursor === undefined ? null : placeOf(cursor)
  if (place && !('nanos' in place)) throw invalid('cursor', 'is not a cursor of this log')
  const from = since === undefined ? null : nanosOf(since)
  const earliest = place?.nanos ?? from
  // A second earlier: an engine may leave out lines of the very time.
  const sinceSeconds = earliest === null ? null : Math.max(0, Number(earliest / 1_000_000_000n) - 1)
  const wanted = {
    after: place,
    since: from,
    until: until === undefined ? null : nanosOf(until),
    isTail: place === null,
  }
  const read = (tailFragments: number | null, count: number) =>
    select(logs.lines(container, { sinceSeconds, tailFragments }), { ...wanted, count })
  // The engine's own tail counts fragments and may begin within a line: it is enough when it has one line more than wanted.
  const isQuick = wanted.isTail && earliest === null && until === undefined
  const quick = isQuick ? await read(tail * 2 + 2, tail + 1) : null
  const { lines, end, gap } = quick && quick.lines.length > tail ? quick : await read(null, tail)
  return { lines: lines.slice(wanted.isTail ? -tail : 0).map(shown), next_cursor: cursorOf(end), gap }
}

async function readConsole(logs: ConsoleLog, container: ContainerRecord, given: Given): Promise<Answer> {
  const { tail, since, until, cursor } = given
  for (const [field, value] of Object.entries({ since, until }))
    if (value !== undefined)
      throw invalid(field, 'cannot be given: the console of this engine has no times', 'unsupported')
  const place = cursor === undefined ? null : placeOf(cursor)
  if (place && !('offset' in place)) throw invalid('cursor', 'is not a cursor of this log')
  const found = await logs.read(container, place?.offset ?? 'end', maxAnswerBytes)
  // A text that is shorter than before has begun anew.
  const gap = place !== null && place.offset > found.total
  const { bytes, start, total } = gap ? await logs.read(container, 0, maxAnswerBytes) : found
  const isWhole = start + bytes.length >= total
  const cut = isWhole ? bytes.length : bytes.lastIndexOf(0x0a) + 1 || bytes.length
  const texts = bytes.toString('utf8', 0, cut).split('\n')
  if (texts.at(-1) === '') texts.pop()
  const picked = place === null ? texts.slice(-tail) : texts
  return {
    lines: picked.map((text) => ({
      time: null,
      stream: 'stdout' as const,
      text: text.replace(/\r$/, ''),
      truncated: false,
    })),
    next_cursor: cursorOf({ offset: start + cut }),
    gap,
  }
}

/** @throws ConflictError for a container without a log; ValidationError for a place that is none of it */
export function requireLog(container: ContainerRecord, { cursor, since }: Pick<Given, 'cursor' | 'since'>) {
  const { logs } = driverOf(container)
  if (!logs)
    throw new ConflictError(
      `${container.runtime} keeps no log of '${container.id}': the text of its console can be read once`,
      {
        details: { runtime: container.runtime, capability: 'logs' },
      },
    )
  const place = cursor === undefined ? null : placeOf(cursor)
  if (place && 'nanos' in place !== (logs.kind === 'timed')) throw invalid('cursor', 'is not a cursor of this log')
  if (since !== undefined && logs.kind === 'console')
    throw invalid('since', 'cannot be given: the console of this engine has no times', 'unsupported')
  return logs
}

/** Reads a part of a log. With `wait`, a caller at the end of it waits for the next line. */
export async function readLogs(given: Given): Promise<Answer> {
  const container = await containerRecords.require(given.id)
  const logs = requireLog(container, given)
  const read = () => (logs.kind === 'timed' ? readTimed(logs, container, given) : readConsole(logs, container, given))
  for (const end = Date.now() + given.wait * 1000; ; await delay(lookEveryMs)) {
    const answer = await read()
    if (answer.lines.length > 0 || answer.gap || Date.now() >= end) return answer
  }
}
