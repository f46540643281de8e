import { parse, textOf, withGlobals } from '../arguments/parse.ts'
import { exitCodes, usageError } from '../errors.ts'
import { follow, type StreamEvent } from '../http/events.ts'
import { cellText } from '../output/cells.ts'
import { write } from '../output/print.ts'
import { shown } from '../output/width.ts'
import { targetFrom } from '../actions/options.ts'

const flags = {
  topic: { value: 'TOPIC', isMultiple: true, does: 'Only events of this topic, such as vm:status; repeatable' },
  from: { value: 'SEQ', does: 'Begin after this event; 0: the oldest stored one' },
  limit: { value: 'N', does: 'End after so many events' },
}

/** `horcrux events`: a line for each event, until Ctrl-C. */
export async function events(words: string[]): Promise<number> {
  const parsed = parse(words, withGlobals(flags), 'horcrux events')
  const topics = (parsed.flags.get('topic') ?? []).flatMap((text) => String(text).split(','))
  const from = numberOf(textOf(parsed, 'from'), '--from')
  const limit = numberOf(textOf(parsed, 'limit'), '--limit') ?? Infinity
  const isJson = ['json', 'ndjson'].includes(textOf(parsed, 'output') ?? 'table')
  const ending = new AbortController()
  process.once('SIGINT', () => ending.abort())
  let count = 0
  for await (const event of follow(targetFrom(parsed), {
    ...(topics.length > 0 && { topics }),
    ...(from !== undefined && { from }),
    signal: ending.signal,
  })) {
    if (['Ping', 'Subscribed'].includes(event.type)) continue
    await write(isJson ? `${JSON.stringify(event)}\n` : `${lineOf(event)}\n`)
    if (++count >= limit) break
  }
  return exitCodes.done
}

function numberOf(text: string | undefined, flag: string): number | undefined {
  if (text === undefined) return undefined
  if (!/^\d{1,16}$/.test(text)) throw usageError(`${flag} must be a number, not '${text}'`)
  return Number(text)
}

/** `2026-11-30 00:10:00  VmStatusChanged  vm_id=web-1 old_status=stopped new_status=running`. */
function lineOf({ time, type, data }: StreamEvent): string {
  const facts = Object.entries(data)
    .filter(([name, value]) => name !== 'timestamp' && value !== null && typeof value !== 'object')
    .map(([name, value]) => `${name}=${cellText(value)}`)
  return shown(`${cellText(time)}  ${type}  ${facts.join(' ')}`)
}
