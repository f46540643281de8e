import { prompt } from '../contexts/prompt.ts'
import type { Form } from '../manifest/types.ts'
import { usageError } from '../errors.ts'
import { textIn } from './body.ts'
import { isSet, type Parsed, textOf } from './parse.ts'

/** A secret from `--NAME-file` or `--NAME-stdin`; undefined if neither is given. One line end at its end is left out. */
export function givenSecret(parsed: Parsed, flag: string): string | undefined {
  const file = textOf(parsed, `${flag}-file`)
  if (file !== undefined) return textIn(file).replace(/\r?\n$/, '')
  return isSet(parsed, `${flag}-stdin`) ? textIn('-').replace(/\r?\n$/, '') : undefined
}

/** A secret that is given, or asked for; a new one is asked for twice. @throws CommandError */
export async function secretOf(parsed: Parsed, flag: string, { label = flag, isNew = false } = {}): Promise<string> {
  const given = givenSecret(parsed, flag)
  if (given !== undefined) return given
  const question = { isSecret: true, instead: `give --${flag}-file FILE or --${flag}-stdin` }
  const typed = await prompt(`${label}: `, question)
  if (isNew && (await prompt(`${label} again: `, question)) !== typed)
    throw usageError(`the two entries of ${label} differ`)
  return typed
}

/** The values with `***` for each secret, at any depth. */
export const withoutSecrets = (
  values: Record<string, unknown>,
  forms: Record<string, Form> | undefined,
): Record<string, unknown> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, masked(value, forms?.[name])]))

function masked(value: unknown, form: Form | undefined): unknown {
  if (form?.secret) return '***'
  if (Array.isArray(value)) return value.map((one) => masked(one, form?.items))
  return typeof value === 'object' && value !== null
    ? withoutSecrets(value as Record<string, unknown>, form?.fields)
    : value
}
