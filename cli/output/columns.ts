import type { Form } from '../manifest/types.ts'

const first = ['id', 'name', 'username', 'kind', 'type', 'status', 'state', 'health']
const last = ['description', 'created_at', 'updated_at', 'version']
const simple = ['string', 'integer', 'number', 'boolean', 'any']
const most = 7

/** Columns by the contract and fields of a record. */
type Shape = { own: readonly string[]; fields: Record<string, Form> | undefined }

/** The columns of a table, in their order: those of the contract, else the first simple fields. */
export function columnsOf({ own, fields }: Shape, isWide: boolean): string[] {
  const names = Object.keys(fields ?? {})
  const place = (name: string) =>
    first.includes(name) ? first.indexOf(name) : last.includes(name) ? 1000 + last.indexOf(name) : 100
  const bySense = names
    .filter((name) => simple.includes(fields?.[name]?.type ?? ''))
    .toSorted((a, b) => place(a) - place(b))
  if (isWide) return [...new Set([...own, ...bySense])]
  return own.length > 0 ? [...own] : bySense.filter((name) => !['updated_at', 'version'].includes(name)).slice(0, most)
}

/** The form of the field `a.b` of a record. */
export const formAt = (fields: Record<string, Form> | undefined, column: string): Form | undefined =>
  column
    .split('.')
    .reduce<Form | undefined>((at, name) => at?.fields?.[name], { type: 'object', ...(fields && { fields }) })

/** The value at `a.b` of a record. */
export const valueAt = (record: unknown, column: string): unknown =>
  column.split('.').reduce<unknown>((at, name) => (at as Record<string, unknown> | null | undefined)?.[name], record)
