import { usageError } from '../errors.ts'
import { argumentWord, type flagsOf, usageOf } from '../arguments/action-flags.ts'
import { objectIn, setField } from '../arguments/body.ts'
import { type Parsed, textOf } from '../arguments/parse.ts'
import { givenSecret, secretOf } from '../arguments/secrets.ts'
import { valueOf, ValueError } from '../arguments/values.ts'
import { flagOf, pathParams, positionalParams } from '../manifest/manifest.ts'
import type { Action, Param } from '../manifest/types.ts'

export type Values = Record<string, unknown>
type Known = ReturnType<typeof flagsOf>

/** The parameters of an action: file, then --set, then flags, then arguments; the later wins. @throws CommandError with all mistakes */
export async function valuesFor(action: Action, parsed: Parsed, known: Known): Promise<Values> {
  const file = textOf(parsed, 'file')
  const values: Values = file === undefined ? {} : fitting(action, await objectIn(file))
  for (const assignment of parsed.flags.get('set') ?? []) setField(values, String(assignment))
  const mistakes = [...parsed.mistakes]
  readFlags(parsed, known, values, mistakes)
  readPositionals(action, parsed, values)
  await readSecrets(action, parsed, values, mistakes)
  const missing = action.params.filter(({ name, required }) => required && values[name] === undefined)
  mistakes.push(...missing.map((param) => missingText(action, param)))
  if (mistakes.length > 0) throw usageError(mistakes.join('\n'), `horcrux ${action.noun} ${action.verb} --help`)
  return values
}

/** A record that was read with `get -o yaml` has more fields than an action takes; unknown ones are refused by the server. */
function fitting(action: Action, fields: Values): Values {
  const isRecord = typeof fields['version'] === 'number' && typeof fields['created_at'] === 'string'
  if (!isRecord) return fields
  return Object.fromEntries(
    Object.entries(fields).filter(([name]) => action.params.some((param) => param.name === name)),
  )
}

function readFlags(parsed: Parsed, { params }: Known, values: Values, mistakes: string[]): void {
  const given: Values = {}
  for (const [flag, texts] of parsed.flags) {
    const param = params.get(flag)
    if (!param || param.secret) continue
    for (const text of texts) {
      try {
        const value = typeof text === 'boolean' ? text : valueOf(text, param)
        given[param.name] = joined(given[param.name], value)
      } catch (error) {
        if (!(error instanceof ValueError)) throw error
        mistakes.push(`--${flag} ${error.message}`)
      }
    }
  }
  Object.assign(values, given)
}

/** A repeated flag adds to a list, and to the fields of an object; of others the last one counts. */
function joined(before: unknown, value: unknown): unknown {
  if (Array.isArray(before) && Array.isArray(value)) return [...(before as unknown[]), ...(value as unknown[])]
  return isObject(before) && isObject(value) ? { ...before, ...value } : value
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null

function readPositionals(action: Action, parsed: Parsed, values: Values): void {
  const takes = positionalParams(action)
  const query = takes.findIndex(({ name }) => name === 'q')
  // The words of a query are one argument.
  const words = parsed.positionals
  const positionals =
    query >= 0 && words.length > query ? [...words.slice(0, query), words.slice(query).join(' ')] : words
  for (const [index, text] of positionals.entries()) {
    const param = takes[index]
    if (!param && parsed.mistakes.length > 0) return
    if (!param) {
      const extra = positionals.slice(takes.length).join(' ')
      throw usageError(
        `'${extra}' is one argument too many: horcrux ${usageOf(action)}`,
        `horcrux ${action.noun} ${action.verb} --help`,
      )
    }
    values[param.name] = param.type === 'string' ? text : valueOf(text, param)
  }
}

async function readSecrets(action: Action, parsed: Parsed, values: Values, mistakes: string[]): Promise<void> {
  for (const param of action.params.filter(({ secret }) => secret)) {
    const flag = flagOf(param)
    const given = givenSecret(parsed, flag)
    if (given !== undefined) values[param.name] = given
    else if (param.required && values[param.name] === undefined && mistakes.length === 0) {
      const isNew = action.verb === 'create' || param.name.startsWith('new')
      values[param.name] = await secretOf(parsed, flag, { label: param.name.replaceAll('_', ' '), isNew })
    }
  }
}

const missingText = (action: Action, param: Param) =>
  positionalParams(action).includes(param)
    ? `${argumentWord(action, param)} is missing: horcrux ${usageOf(action)}`
    : `--${flagOf(param)} is required${param.enum ? `: one of ${param.enum.join(', ')}` : ''}`

/** Fills the path; the rest is the query of a GET, or the body. */
export function requestOf(action: Action, values: Values): { method: string; path: string; body?: Values } {
  const inPath = pathParams(action).map(({ name }) => name)
  const path = action.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(values[name])))
  const others = Object.entries(values).filter(([name, value]) => !inPath.includes(name) && value !== undefined)
  if (action.method === 'GET') {
    const query = new URLSearchParams(
      others.map(([name, value]): [string, string] => [name, Array.isArray(value) ? value.join(',') : String(value)]),
    )
    return { method: 'GET', path: `${path}${query.size > 0 ? `?${query}` : ''}` }
  }
  return { method: action.method, path, ...(others.length > 0 && { body: Object.fromEntries(others) }) }
}
