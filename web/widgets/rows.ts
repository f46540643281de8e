/** A column that rows can be ordered by. */
export type Sortable<T> = { key: string; value?: ((item: T) => string | number | null) | undefined }

/** The reverse of a sort, of each of its fields. */
export const reversed = (sort: string): string =>
  sort
    .split(',')
    .map((field) => (field.startsWith('-') ? field.slice(1) : `-${field}`))
    .join()

export const rowHeight = 45
/** More rows than this are windowed: only those in view are in the document. */
export const mostWhole = 80
const margin = 12

/** The rows to draw for a scroll position. */
export function windowOf(total: number, scrollTop: number, height: number): { first: number; end: number } {
  if (total <= mostWhole) return { first: 0, end: total }
  const first = Math.max(0, Math.min(total, Math.floor(scrollTop / rowHeight)) - margin)
  return { first, end: Math.min(total, first + Math.ceil(height / rowHeight) + 2 * margin) }
}

/** Rows in the order of `sort`: a column's key, with `-` before it for the other way round. Equal rows keep their order. */
export function sorted<T>(rows: readonly T[], columns: readonly Sortable<T>[], sort: string | undefined): readonly T[] {
  const isDown = sort?.startsWith('-') === true
  const value = columns.find(({ key }) => key === sort?.replace('-', ''))?.value
  if (!value) return rows
  const collator = new Intl.Collator(undefined, { numeric: true })
  const way = isDown ? -1 : 1
  return rows.toSorted((a, b) => {
    const [x, y] = [value(a), value(b)]
    if (x === null || y === null) return x === y ? 0 : x === null ? 1 : -1
    return way * (typeof x === 'number' && typeof y === 'number' ? x - y : collator.compare(String(x), String(y)))
  })
}
