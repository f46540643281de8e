import { unitOfName } from '../manifest/named-units.ts'
import type { Form } from '../manifest/types.ts'
import { cellText } from './cells.ts'
import { colourOf, paint } from './colours.ts'
import { formAt, valueAt } from './columns.ts'
import { cut, pad, shown, widthOf } from './width.ts'

type Look = {
  columns: string[]
  fields: Record<string, Form> | undefined
  /** Width of the terminal; undefined does not cut. */
  width: number | undefined
  hasHeaders: boolean
  stream: { isTTY?: boolean }
}

const gap = 2
/** Text is not cut to less. */
const least = 8
const isState = (column: string) => /(^|\.)(status|state|health)$/.test(column)

/** Records as lines of columns. On a terminal the widest columns are cut until the line fits; a line never wraps. */
export function tableOf(records: readonly unknown[], { columns, fields, width, hasHeaders, stream }: Look): string {
  const headers = columns.map((column) =>
    column
      .replace(/_bytes$/, '')
      .replaceAll('_', ' ')
      .toUpperCase(),
  )
  const rows = records.map((record) =>
    columns.map((column) => shown(cellText(valueAt(record, column), formAt(fields, column)))),
  )
  const isRight = columns.map((column) => {
    const form = formAt(fields, column)
    return form ? isNumeric(form) : records.length > 0 && records.every((record) => isNumber(valueAt(record, column)))
  })
  const widths = columns.map((_, index) =>
    Math.max(
      ...(hasHeaders || rows.length === 0 ? [headers[index]!.length] : [0]),
      ...rows.map((row) => widthOf(row[index]!)),
    ),
  )
  // A number that is cut would be another number.
  const leasts = widths.map((one, index) => (isRight[index] ? one : Math.min(one, least)))
  const fitted = width === undefined ? widths : fit(widths, leasts, width)
  const line = (cells: string[], colour: (index: number, cell: string) => string) =>
    cells
      .map((cell, index) => {
        const text = cut(cell, fitted[index]!)
        const isLast = index === cells.length - 1
        const padded = isLast && !isRight[index] ? text : pad(text, fitted[index]!, isRight[index])
        return fitted[index] === 0 ? '' : colour(index, padded)
      })
      .filter((_, index) => fitted[index] !== 0)
      .join(' '.repeat(gap))
      .trimEnd()
  const head = hasHeaders ? [line(headers, (_, cell) => paint(cell, 'bold', stream))] : []
  const body = rows.map((row) =>
    line(row, (index, cell) => paint(cell, isState(columns[index]!) ? colourOf(cell.trim()) : undefined, stream)),
  )
  return [...head, ...body].join('\n')
}

const isNumeric = ({ type }: Form) => type === 'integer' || type === 'number'
const isNumber = (value: unknown) => typeof value === 'number' || value === null || value === undefined

/**
 * The widths at which all columns fit: those at the end are left out (0) until the others fit at their least width,
 * then the widest are narrowed. The first column is always there.
 */
export function fit(widths: readonly number[], leasts: readonly number[], limit: number): number[] {
  const total = (some: readonly number[]) => some.reduce((sum, width) => sum + width, gap * (some.length - 1))
  let count = widths.length
  while (count > 1 && total(leasts.slice(0, count)) > limit) count--
  const fitted = widths.slice(0, count)
  while (total(fitted) > limit) {
    const widest = Math.max(...fitted.filter((width, index) => width > (count === 1 ? 1 : leasts[index]!)))
    fitted[fitted.lastIndexOf(widest)] = widest - 1
  }
  return [...fitted, ...widths.slice(count).map(() => 0)]
}

/** One record as lines of `name  value`; fields of fields are indented. */
export function recordText(
  record: unknown,
  fields: Record<string, Form> | undefined,
  stream: { isTTY?: boolean },
): string {
  if (typeof record !== 'object' || record === null) return shown(cellText(record))
  return linesOf(record as Record<string, unknown>, fields, stream, '').join('\n')
}

function linesOf(
  record: Record<string, unknown>,
  fields: Record<string, Form> | undefined,
  stream: { isTTY?: boolean },
  indent: string,
): string[] {
  const names = Object.keys(record)
  const width = Math.max(0, ...names.map((name) => name.length))
  return names.flatMap((name) => {
    const value = record[name]
    const label = `${indent}${paint(shown(name).padEnd(width), 'dim', stream)}`
    if (isRecord(value)) return [label.trimEnd(), ...linesOf(value, fields?.[name]?.fields, stream, `${indent}  `)]
    if (Array.isArray(value) && value.some(isRecord))
      return [
        label.trimEnd(),
        ...value.flatMap((one, index) =>
          isRecord(one)
            ? [...(index > 0 ? [''] : []), ...linesOf(one, fields?.[name]?.items?.fields, stream, `${indent}  `)]
            : [`${indent}  ${shown(cellText(one))}`],
        ),
      ]
    const cell = shown(cellText(value, fields ? fields[name] : namedForm(name, value)))
    return [`${label}  ${paint(cell, isState(name) ? colourOf(cell) : undefined, stream)}`]
  })
}

/** A form by the name alone: no contract is known of the results of operations and the answers of `horcrux api`. */
function namedForm(name: string, value: unknown): Form | undefined {
  const unit = typeof value === 'number' ? unitOfName(name) : undefined
  return unit && { type: 'number', unit }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length > 0
