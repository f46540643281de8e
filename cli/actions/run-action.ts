import { flagsOf } from '../arguments/action-flags.ts'
import { isSet, type Parsed, readWords, textOf, withGlobals } from '../arguments/parse.ts'
import { confirm } from '../contexts/prompt.ts'
import { CommandError, exitCodes } from '../errors.ts'
import type { Target } from '../http/target.ts'
import { bulkFor, keyOf, pathParams } from '../manifest/manifest.ts'
import type { Action } from '../manifest/types.ts'
import { isOperationBody, waitFor } from '../operations/wait.ts'
import { nameOf, note, rendered, write } from '../output/print.ts'
import { cellText, durationText } from '../output/cells.ts'
import { withoutSecrets } from '../arguments/secrets.ts'
import { requestOf, type Values, valuesFor } from './build-request.ts'
import { outputFrom, secondsOf, targetFrom } from './options.ts'
import { runBulk } from './run-bulk.ts'
import { itemsOf, send } from './send.ts'
import { watch } from './watch.ts'

/** Runs a command that is one action of the API. @returns the exit code */
export async function runAction(action: Action, words: string[]): Promise<number> {
  const known = flagsOf(action)
  if (hasPlan(action)) known.flags['if-plan'] = { value: 'ID', does: 'Do exactly the plan of this id, or nothing' }
  const bulk = bulkFor(action)
  const parsed = readWords(words, withGlobals(known.flags))
  if (bulk && textOf(parsed, 'query') !== undefined) return runBulk(action, bulk, parsed)
  const targets = severalIn(action, parsed)
  if (targets) return runSeveral(action, parsed, targets)
  const values = await valuesFor(action, parsed, known)
  if (isSet(parsed, 'dry-run') && !hasPlan(action)) return showRequest(action, values)
  const target = targetFrom(parsed)
  if (action.method === 'GET' && isSet(parsed, 'watch'))
    return watch(target, action, values, outputFrom(parsed, action))
  if (action.result === 'page') return list(target, action, values, parsed)
  if (isSet(parsed, 'dry-run')) return once(target, action, { ...values, plan: true }, parsed)
  await confirmed(action, parsed, [values])
  return once(target, action, values, parsed)
}

/** The server tells the effects of the action beforehand. */
const hasPlan = ({ params }: Action) => params.some(({ name, type }) => name === 'plan' && type === 'boolean')

/** `vms start a b c`: the parsed command of each, where one argument is all that the action takes. */
function severalIn(action: Action, parsed: Parsed): Parsed[] | undefined {
  const isRepeatable = action.change || action.verb === 'get'
  if (pathParams(action).length !== 1 || !isRepeatable || action.result === 'page') return undefined
  const takesName = action.params.some(({ path, required }) => !path && required)
  if (takesName || parsed.positionals.length < 2) return undefined
  return parsed.positionals.map((one) => ({ ...parsed, positionals: [one] }))
}

/** Does them one after the other; all are tried, and the first failure is the exit code. */
async function runSeveral(action: Action, parsed: Parsed, each: Parsed[]): Promise<number> {
  const known = flagsOf(action)
  const all = await Promise.all(each.map((one) => valuesFor(action, one, known)))
  if (isSet(parsed, 'dry-run')) {
    for (const values of all) await showRequest(action, values)
    return exitCodes.done
  }
  await confirmed(action, parsed, all)
  const target = targetFrom(parsed)
  let code: number = exitCodes.done
  for (const values of all) {
    try {
      await once(target, action, values, parsed)
    } catch (error) {
      if (!(error instanceof CommandError)) throw error
      note(`error: ${error.message}`)
      code ||= error.code
    }
  }
  return code
}

/** Verbs besides DELETE that destroy something. */
const destructive = ['restore', 'erase', 'reset', 'rotate-keys']
/** A DELETE that loses nothing. */
const harmless = ['detach-nic', 'eject', 'end-session', 'end-silence', 'detach']

/** A plan changes nothing, and a restore to something new replaces nothing. */
export function losesNothing({ params }: Pick<Action, 'params'>, values: Values): boolean {
  const to = params.find(({ name }) => name === 'to')
  return values['plan'] === true || (to !== undefined && (values['to'] ?? to.default) === 'new')
}

async function confirmed(action: Action, parsed: Parsed, all: Values[]): Promise<void> {
  const isDestructive =
    destructive.includes(action.verb) || (action.method === 'DELETE' && !harmless.includes(action.verb))
  if (!isDestructive || isSet(parsed, 'yes') || all.every((values) => losesNothing(action, values))) return
  const inPath = pathParams(action)
  const names = all.map((values) => inPath.map(({ name }) => String(values[name])).join(' ')).join(', ')
  const what = `${action.noun} ${action.verb}${names ? ` ${names}` : ''}`
  const command = ['horcrux', action.noun, action.verb, ...parsed.positionals].join(' ')
  if (!(await confirm(`${what}?`, command)))
    throw new CommandError('nothing was changed', { code: exitCodes.interrupted })
}

/** Shows the request without sending it; secrets are masked. */
async function showRequest(action: Action, values: Values): Promise<number> {
  const forms = Object.fromEntries(action.params.map((param) => [param.name, param]))
  const { method, path, body } = requestOf(action, withoutSecrets(values, forms))
  await write(`${method} /api${path}\n${body ? `${JSON.stringify(body, null, 2)}\n` : ''}`)
  note('dry run: nothing was sent')
  return exitCodes.done
}

/** Lists with all their pages; formats of lines are written as the pages come. */
async function list(target: Target, action: Action, values: Values, parsed: Parsed): Promise<number> {
  const output = outputFrom(parsed, action)
  const all: unknown[] = []
  let rest: object = {}
  for await (const { items, body } of itemsOf(target, action, values)) {
    const { data: _, next_cursor: __, ...more } = body as { data: unknown; next_cursor: unknown }
    rest = Object.assign(more, rest)
    if (output.format === 'ndjson' || output.format === 'name') await write(await rendered(items, output))
    else all.push(...items)
  }
  if (output.format === 'ndjson' || output.format === 'name') return exitCodes.done
  const isJson = output.format === 'json'
  await write(await rendered(isJson ? { data: all, ...rest } : all, output))
  return exitCodes.done
}

/** Runs an action with checked parameters, and shows its result. @returns the exit code */
export async function once(target: Target, action: Action, values: Values, parsed: Parsed): Promise<number> {
  const begin = performance.now()
  const waits = !isSet(parsed, 'no-wait')
  const plan = textOf(parsed, 'if-plan')
  const headers: Record<string, string> = {
    ...(action.operation && waits && { prefer: 'wait=1' }),
    ...(plan !== undefined && { 'if-plan': plan }),
  }
  const { body } = await send<unknown>(target, action, values, { headers })
  const isOperation = action.operation && isOperationBody(body)
  if (isOperation && !waits) {
    await write(`${body.id}\n`)
    return exitCodes.done
  }
  const wish = { isQuiet: isSet(parsed, 'quiet'), timeoutSeconds: secondsOf(parsed, 'wait-timeout') }
  const result = isOperation ? (await waitFor(target, body, wish)).result : body
  const output = outputFrom(parsed, action)
  if (action.change && output.format === 'table' && !output.columns) {
    if (action.reveals || showsResult(result)) await write(await rendered(result, output))
    else await write(`${summaryOf(action, values, result, performance.now() - begin)}\n`)
    return exitCodes.done
  }
  await write(await rendered(result, output))
  return exitCodes.done
}

/** A result that is no record of the noun, such as a new API key, is what the user wants to see. */
function showsResult(result: unknown): boolean {
  if (typeof result !== 'object' || result === null) return false
  return !Object.hasOwn(result, 'version')
}

/** `vms start web-1: running, 1.2 s`. */
function summaryOf(action: Action, values: Values, result: unknown, tookMs: number): string {
  const inPath = pathParams(action).map(({ name }) => String(values[name]))
  const record = (typeof result === 'object' && result !== null ? result : {}) as Record<string, unknown>
  const made = nameOf(record, keyOf(action.noun))
  const name = typeof record['name'] === 'string' ? record['name'] : made
  const names = inPath.length > 0 ? inPath : name ? [name] : []
  const isNew = made !== '' && !names.includes(made) && !names.includes(name)
  const state = record['status'] ?? record['state']
  const facts = [
    ...(isNew ? [made] : []),
    ...(typeof state === 'string' ? [cellText(state)] : []),
    ...(record['pending_restart'] === true ? ['changes wait for the next start'] : []),
    ...(action.operation ? [durationText(tookMs / 1000)] : []),
  ]
  return (
    `${action.noun} ${action.verb} ${names.join(' ')}`.trimEnd() +
    (facts.length > 0 ? `: ${facts.join(', ')}` : ': done')
  )
}
