import { bytes } from '../words/format.ts'
import { readSize } from '../words/size.ts'
import { language, type Word } from '../words/words.ts'

type Kind = 'text' | 'password' | 'area' | 'number' | 'bytes' | 'mib' | 'check' | 'select' | 'words' | 'lines' | 'json'
export type Field = {
  /** Name of the parameter; a dot goes into an object: `limits.cpus`. */
  name: string
  label: Word
  /** Text in place of the label's word, and of the hint, from the contracts. */ text?: string
  hintText?: string | undefined
  kind?: Kind
  /** Lines that a text area shows. */ rows?: number
  options?: readonly (string | readonly [value: string, text: string])[]
  suggestions?: readonly string[]
  hint?: Word
  isRequired?: boolean
  /** An empty field is sent as null in place of being left out. */ isNullable?: boolean
  autocomplete?: string
  when?: (raw: Raw) => boolean
}
export type Raw = Record<string, string | boolean>

/** Value of a record as text of a form field. */
export function toRaw({ kind = 'text' }: Field, value: unknown): string | boolean {
  if (kind === 'check') return value === true
  if (value === undefined || value === null) return ''
  if (kind === 'bytes') return bytes(Number(value))
  if (kind === 'mib') return bytes(Number(value) * 1024 ** 2)
  if (kind === 'words') return (value as string[]).join(' ')
  if (kind === 'lines') return (value as string[]).join('\n')
  if (kind === 'json') return JSON.stringify(value, null, 2)
  return typeof value === 'string' || typeof value === 'number' ? String(value) : ''
}

/** Reads one field. @returns the value, or the message of a text that is none */
export function fromRaw(field: Field, raw: string | boolean | undefined): { value?: unknown; wrong?: Word } {
  const { kind = 'text', isRequired, isNullable } = field
  if (kind === 'check') return { value: raw === true }
  const text = String(raw ?? '')
  if (text.trim() === '') {
    if (isRequired) return { wrong: 'wrong.required' }
    if (kind === 'words' || kind === 'lines') return { value: [] }
    return isNullable ? { value: null } : {}
  }
  return read(kind, text)
}

function read(kind: Kind, text: string): { value?: unknown; wrong?: Word } {
  if (kind === 'number') {
    const value = Number(text.replace(',', '.'))
    return Number.isFinite(value) ? { value } : { wrong: 'wrong.number' }
  }
  if (kind === 'bytes' || kind === 'mib') {
    const size = readSize(text, kind === 'mib' ? 'm' : 'g', language.peek())
    if (size === undefined) return { wrong: 'wrong.size' }
    return { value: kind === 'mib' ? size / 1024 ** 2 : size }
  }
  if (kind === 'words') return { value: text.split(/[\s,]+/).filter(Boolean) }
  if (kind === 'lines')
    return {
      value: text
        .split('\n')
        .map((line) => line.trim())
        .filter(Boolean),
    }
  if (kind !== 'json') return { value: kind === 'password' || kind === 'area' ? text : text.trim() }
  try {
    return { value: JSON.parse(text) }
  } catch {
    return { wrong: 'wrong.json' }
  }
}

/** Sets `limits.cpus` in `{ limits: { … } }`. */
export function put(target: Record<string, unknown>, name: string, value: unknown): void {
  const [first = '', ...rest] = name.split('.')
  if (rest.length === 0) target[first] = value
  else put((target[first] ??= {}) as Record<string, unknown>, rest.join('.'), value)
}

export const pick = (source: unknown, name: string): unknown =>
  name
    .split('.')
    .reduce<unknown>((value, part) => (value as Record<string, unknown> | null | undefined)?.[part], source)

/**
 * All values of a form by field, and the messages of those that cannot be read. A text that was there `before` and is
 * empty now is sent as empty.
 */
export function readForm(
  fields: readonly Field[],
  raw: Raw,
  before: unknown = {},
): { values: Record<string, unknown>; wrong: Record<string, Word> } {
  const values: Record<string, unknown> = {}
  const wrong: Record<string, Word> = {}
  for (const field of fields) {
    if (field.when && !field.when(raw)) continue
    const read = fromRaw(field, raw[field.name])
    if (read.wrong) wrong[field.name] = read.wrong
    else if (read.value !== undefined) values[field.name] = read.value
    else if (typeof pick(before, field.name) === 'string') values[field.name] = ''
  }
  return { values, wrong }
}

/** Parameters of an action from the values by field. */
export function paramsOf(values: Record<string, unknown>): Record<string, unknown> {
  const params: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(values)) put(params, name, value)
  return params
}

/** The texts of a form from the values of a record. */
export const rawOf = (fields: readonly Field[], source: unknown): Raw =>
  Object.fromEntries(fields.map((field) => [field.name, toRaw(field, pick(source, field.name))]))
