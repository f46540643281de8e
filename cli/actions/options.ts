import { usageError } from '../errors.ts'
import { isSet, type Parsed, textOf } from '../arguments/parse.ts'
import { valueOf, ValueError } from '../arguments/values.ts'
import { targetOf } from '../contexts/store.ts'
import type { Target } from '../http/target.ts'
import { keyOf } from '../manifest/manifest.ts'
import type { Action, Form } from '../manifest/types.ts'
import type { Output } from '../output/print.ts'

/** The server that the flags name. */
export const targetFrom = (parsed: Parsed): Target =>
  targetOf({ context: textOf(parsed, 'context'), url: textOf(parsed, 'url') })

/** Output of an action by the flags. */
export const outputFrom = (parsed: Parsed, action: Action): Output =>
  outputOf(parsed, { noun: action.noun, key: keyOf(action.noun), own: action.columns, fields: action.fields })

export function outputOf(
  parsed: Parsed,
  about: { noun: string; key: string; own?: string[] | undefined; fields?: Record<string, Form> | undefined },
): Output {
  return {
    format: textOf(parsed, 'output') ?? 'table',
    columns: textOf(parsed, 'columns')
      ?.split(',')
      .map((column) => column.trim())
      .filter(Boolean),
    hasHeaders: !isSet(parsed, 'no-headers'),
    own: about.own ?? [],
    fields: about.fields,
    noun: about.noun,
    key: about.key,
  }
}

/** Seconds of a flag such as `--wait-timeout 5m`. @throws CommandError */
export function secondsOf(parsed: Parsed, flag: string): number | undefined {
  const text = textOf(parsed, flag)
  if (text === undefined) return undefined
  try {
    return valueOf(text, { type: 'number', unit: 'seconds' }) as number
  } catch (error) {
    if (error instanceof ValueError) throw usageError(`--${flag} ${error.message}`)
    throw error
  }
}
