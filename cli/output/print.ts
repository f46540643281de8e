import { environment } from '../environment.ts'
import { usageError } from '../errors.ts'
import type { Form } from '../manifest/types.ts'
import { columnsOf, valueAt } from './columns.ts'
import { recordText, tableOf } from './table.ts'

/** Format and columns of the result of a command. */
export type Output = {
  format: string
  columns: string[] | undefined
  hasHeaders: boolean
  noun: string
  /** Name of the field that identifies a resource. */
  key: string
  /** Columns by the contract. */
  own: readonly string[]
  fields: Record<string, Form> | undefined
}

const { stdout } = process

/** Width of the terminal; undefined if standard output is none, which then gets whole lines. */
const terminalWidth = () => environment.columns() ?? (stdout.isTTY ? stdout.columns : undefined)

/** Writes to standard output; waits while a pipe is full. */
export function write(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    stdout.write(text, (error) => (error ? reject(error) : resolve()))
  })
}

/** Notes, progress and errors go to standard error, so that standard output has only data. */
export const note = (text: string) => void process.stderr.write(`${text}\n`)

/** The text of one record, or of a list. `body` is the answer of the API. */
export async function rendered(body: unknown, output: Output): Promise<string> {
  const records = listOf(body) ?? [body]
  switch (output.format) {
    case 'json':
      return `${JSON.stringify(body, null, 2)}\n`
    case 'ndjson':
      return records.map((one) => `${JSON.stringify(one)}\n`).join('')
    case 'yaml':
      return yamlOf(records, output.noun)
    case 'name':
      return records.map((one) => `${nameOf(one, output.key)}\n`).join('')
    case 'csv':
      return csvOf(records, output)
    default:
      return textOf(body, output)
  }
}

/** Tables of lists, and of records with `--columns`; else the fields of the record, a line each. */
function textOf(body: unknown, output: Output): string {
  const { fields, hasHeaders, noun } = output
  const list = listOf(body)
  if (!list && !output.columns) return body === null ? '' : `${recordText(body, fields, stdout)}\n`
  if (list?.length === 0 && stdout.isTTY) return `no ${noun.replaceAll('-', ' ')}\n`
  const records = list ?? [body]
  const columns = columnsFor(records, output)
  const text = tableOf(records, { columns, fields, hasHeaders, width: terminalWidth(), stream: stdout })
  return text === '' ? '' : `${text}\n`
}

/** The items of a list, in any of the forms that the API answers. */
export function listOf(body: unknown): unknown[] | undefined {
  if (Array.isArray(body)) return body
  const data = (body as { data?: unknown } | null)?.data
  return Array.isArray(data) ? data : undefined
}

function columnsFor(records: unknown[], { columns, own, fields, format }: Output): string[] {
  const names = fields ? Object.keys(fields) : Object.keys(Object.assign({}, ...records) as object)
  if (columns) {
    const strange = columns.filter((column) => !names.includes(column.split('.')[0]!))
    if (strange.length > 0)
      throw usageError(`--columns: there is no ${strange.join(', ')}; there are ${names.join(', ')}`)
    return columns
  }
  const found = columnsOf({ own, fields }, format !== 'table')
  return found.length > 0 ? found : names
}

export const nameOf = (record: unknown, key: string): string => {
  const { id, name } = (record ?? {}) as Record<string, unknown>
  return String(valueAt(record, key) ?? id ?? name ?? '')
}

/** RFC 4180. A cell that a spreadsheet would take for a formula gets an apostrophe. */
function csvOf(records: unknown[], output: Output): string {
  const columns = columnsFor(records, output)
  const cell = (value: unknown) => {
    const text =
      value === null || value === undefined ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value)
    const safe = typeof value === 'string' && /^[=+\-@\t]/.test(text) ? `'${text}` : text
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
  }
  const lines = records.map((record) => columns.map((column) => cell(valueAt(record, column))).join(','))
  return [...(output.hasHeaders ? [columns.join(',')] : []), ...lines].map((line) => `${line}\r\n`).join('')
}

/** Documents of YAML, each with its noun, as `apply -f` reads them. A record may have a field `kind` of its own. */
async function yamlOf(records: unknown[], noun: string): Promise<string> {
  const { stringify } = await import('yaml')
  const documents = records.map((record) =>
    stringify(typeof record === 'object' && record !== null && !Array.isArray(record) ? { noun, ...record } : record, {
      lineWidth: 0,
    }),
  )
  return documents.join('---\n')
}
