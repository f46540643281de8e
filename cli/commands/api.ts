import { objectIn, setField } from '../arguments/body.ts'
import { isSet, parse, textOf, withGlobals } from '../arguments/parse.ts'
import { exitCodes, usageError } from '../errors.ts'
import { ask } from '../http/request.ts'
import { note, rendered, write } from '../output/print.ts'
import { outputOf, targetFrom } from '../actions/options.ts'

const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']

/** `horcrux api METHOD PATH`: any request; the answer is printed as JSON. */
export async function api(words: string[]): Promise<number> {
  const parsed = parse(words, withGlobals({}), 'horcrux api')
  const { method, path } = placeOf(parsed.positionals)
  const file = textOf(parsed, 'file')
  const body: Record<string, unknown> = file === undefined ? {} : await objectIn(file)
  for (const assignment of parsed.flags.get('set') ?? []) setField(body, String(assignment))
  const sent = Object.keys(body).length > 0 ? { body } : {}
  if (isSet(parsed, 'dry-run')) {
    await write(`${method} /api${path}\n${sent.body ? `${JSON.stringify(body, null, 2)}\n` : ''}`)
    note('dry run: nothing was sent')
    return exitCodes.done
  }
  const answer = await ask(targetFrom(parsed), { method, path, ...sent })
  const output = outputOf(parsed, { noun: 'answer', key: 'id' })
  const format = output.format === 'table' ? 'json' : output.format
  if (answer.body !== null) await write(await rendered(answer.body, { ...output, format }))
  return exitCodes.done
}

/** A method and a path, or only the path of a GET; `/api` and `/api/v1` before it are left out. */
function placeOf([given = 'GET', second, ...more]: string[]): { method: string; path: string } {
  const isPathOnly = second === undefined && given.startsWith('/')
  const method = isPathOnly ? 'GET' : given.toUpperCase()
  const place = isPathOnly ? given : second
  if (!methods.includes(method) || place === undefined || more.length > 0)
    throw usageError(`name a method (${methods.join(', ')}) and a path`, 'horcrux api GET /vms')
  return { method, path: `/${place.replace(/^\/?(api\/(v1\/)?)?/, '')}` }
}
