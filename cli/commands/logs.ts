import { isSet, parse, textOf, withGlobals } from '../arguments/parse.ts'
import { exitCodes, usageError } from '../errors.ts'
import { actionOf } from '../manifest/manifest.ts'
import { note, write } from '../output/print.ts'
import { targetFrom } from '../actions/options.ts'
import { send } from '../actions/send.ts'

type LogLine = { time: string | null; stream: 'stdout' | 'stderr'; text: string; truncated: boolean }
type Logs = { lines: LogLine[]; next_cursor: string; gap: boolean }

const flags = {
  follow: { short: 'F', isBoolean: true, does: 'Show new lines as they come' },
  tail: { value: 'N', does: 'Begin with so many of the last lines; default 100' },
  since: { value: 'TIME', does: 'Only lines after this time (RFC 3339)' },
  until: { value: 'TIME', does: 'Only lines before this time' },
  timestamps: { short: 't', isBoolean: true, does: 'Show the time of each line' },
}

/** The server holds a request for new lines at most so long. Seconds. */
const holdSeconds = 3
const mostLines = 1000

/** `horcrux logs CONTAINER`: its lines, standard error of the container to standard error here. */
export async function logs(words: string[]): Promise<number> {
  const parsed = parse(words, withGlobals(flags), 'horcrux logs')
  const [id, ...more] = parsed.positionals
  if (id === undefined || more.length > 0) throw usageError('name one container', 'horcrux logs CONTAINER')
  const tail = textOf(parsed, 'tail')
  if (tail !== undefined && !/^[1-9]\d{0,4}$/.test(tail))
    throw usageError(`--tail must be a number of lines, not '${tail}'`)
  const target = targetFrom(parsed)
  const action = actionOf('containers', 'logs')
  const period = { since: textOf(parsed, 'since'), until: textOf(parsed, 'until') }
  const isJson = ['json', 'ndjson'].includes(textOf(parsed, 'output') ?? 'table')
  const isFollowed = isSet(parsed, 'follow')
  let values: Record<string, unknown> = { id, ...period, ...(tail !== undefined && { tail: Number(tail) }) }
  const ending = new AbortController()
  process.once('SIGINT', () => ending.abort())
  for (let isFirst = true; !ending.signal.aborted; isFirst = false) {
    const { body } = await send<Logs>(target, action, values, { signal: ending.signal }).catch((error: unknown) => {
      if (ending.signal.aborted) return { body: undefined }
      throw error
    })
    if (!body) break
    if (body.gap && !isFirst) note('[horcrux] lines may be missing here: the log has begun anew')
    for (const line of body.lines) await show(line, { isJson, hasTimes: isSet(parsed, 'timestamps') })
    if (!isFollowed) break
    values = { id, until: period.until, cursor: body.next_cursor, wait: holdSeconds, tail: mostLines }
  }
  return exitCodes.done
}

async function show(line: LogLine, { isJson, hasTimes }: { isJson: boolean; hasTimes: boolean }): Promise<void> {
  if (isJson) return write(`${JSON.stringify(line)}\n`)
  const text = `${hasTimes && line.time ? `${line.time} ` : ''}${line.text.replace(/\r?\n$/, '')}${line.truncated ? ' … (cut)' : ''}\n`
  if (line.stream === 'stderr') process.stderr.write(text)
  else await write(text)
}
