import type { ComponentChildren } from 'preact'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { t } from '../words/words.ts'
import type { Column } from './column.ts'
import { mostWhole, reversed, rowHeight, windowOf } from './rows.ts'

type Props<T> = {
  label: string
  columns: Column<T>[]
  /** Undefined: not read yet. */ rows: readonly (T | undefined)[]
  idOf: (item: T) => string
  sort?: string | undefined
  onSort?: (sort: string) => void
  selected?: ReadonlySet<string> | undefined
  /** Changes the selection: keys may come faster than the table is drawn. */
  onSelect?: ((change: (before: ReadonlySet<string>) => ReadonlySet<string>) => void) | undefined
  /** Chooses everything that the list has, also rows that are not read; or clears the selection. */
  onSelectAll?: (() => void) | undefined
  /** Hears which rows are drawn. */ onView?: ((view: { first: number; end: number }) => void) | undefined
  rowActions?: ((item: T) => ComponentChildren) | undefined
}

/** A native table with sorting, selection and, for many rows, windowing. */
export function Table<T>({ label, columns, rows, idOf, sort, onSort, onView, ...props }: Props<T>) {
  const { selected, onSelect, onSelectAll, rowActions } = props
  const box = useRef<HTMLDivElement>(null)
  const [view, setView] = useState({ top: 0, height: 800 })
  const isWindowed = rows.length > mostWhole
  useLayoutEffect(() => {
    const element = box.current
    if (!element || !isWindowed) return undefined
    let frame = 0
    const measure = () => {
      frame ||= requestAnimationFrame(() => {
        frame = 0
        setView({ top: element.scrollTop, height: element.clientHeight })
      })
    }
    measure()
    element.addEventListener('scroll', measure, { passive: true })
    addEventListener('resize', measure)
    return () => {
      cancelAnimationFrame(frame)
      element.removeEventListener('scroll', measure)
      removeEventListener('resize', measure)
    }
  }, [isWindowed])
  const { first, end } = windowOf(rows.length, view.top, view.height)
  useEffect(() => onView?.({ first, end: Math.max(end, 1) }), [first, end])
  const width = columns.length + (onSelect ? 1 : 0) + (rowActions ? 1 : 0)
  const toggle = (id: string) =>
    onSelect?.((before) => {
      const next = new Set(before)
      if (!next.delete(id)) next.add(id)
      return next
    })
  const lastChosen = useRef<string | undefined>(undefined)
  /** Selects or clears one row; with Shift all from the row before it that was chosen. */
  const choose = (id: string, isRange: boolean) => {
    const ids = rows.map((row) => row && idOf(row))
    const from = lastChosen.current === undefined ? -1 : ids.indexOf(lastChosen.current)
    lastChosen.current = id
    if (!isRange || from < 0) return toggle(id)
    const [first, last] = [from, ids.indexOf(id)].toSorted((a, b) => a - b)
    return onSelect?.(
      (before) => new Set([...before, ...ids.slice(first, last! + 1).filter((one) => one !== undefined)]),
    )
  }
  const areAll = rows.length > 0 && rows.every((row) => row !== undefined && selected?.has(idOf(row)))
  const spacer = (count: number) =>
    count > 0 && (
      <tr aria-hidden="true" class="spacer">
        <td colSpan={width} style={{ height: `${count * rowHeight}px` }} />
      </tr>
    )
  return (
    <div
      ref={box}
      class={`table-box ${isWindowed ? 'windowed' : ''}`}
      tabIndex={isWindowed ? 0 : undefined}
      role={isWindowed ? 'region' : undefined}
      aria-label={isWindowed ? label : undefined}
    >
      <table aria-label={label} aria-rowcount={rows.length + 1}>
        <thead>
          <tr aria-rowindex={1}>
            {onSelect && (
              <th class="check">
                <input
                  type="checkbox"
                  aria-label={t('selectAll')}
                  checked={areAll || (onSelectAll !== undefined && selected?.size === rows.length)}
                  onChange={() =>
                    onSelectAll ? onSelectAll() : onSelect(() => new Set(areAll ? [] : known(rows).map(idOf)))
                  }
                />
              </th>
            )}
            {columns.map((column) => (
              <Head key={column.key} column={column} sort={sort} onSort={onSort} />
            ))}
            {rowActions && (
              <th class="last">
                <span class="sr">{t('actions')}</span>
              </th>
            )}
          </tr>
        </thead>
        <tbody onKeyDown={onSelect && ((event) => moveBetweenBoxes(event, () => onSelect(() => new Set())))}>
          {spacer(first)}
          {rows.slice(first, end).map((row, index) => {
            if (row === undefined)
              return (
                <tr key={`row ${first + index}`} aria-rowindex={first + index + 2} aria-busy="true">
                  <td colSpan={width} class="dim">
                    …
                  </td>
                </tr>
              )
            const id = idOf(row)
            return (
              <tr key={id} aria-rowindex={first + index + 2} aria-selected={onSelect ? selected?.has(id) : undefined}>
                {onSelect && (
                  <td class="check">
                    <input
                      type="checkbox"
                      aria-label={t('select', { name: id })}
                      checked={selected?.has(id) ?? false}
                      onClick={({ shiftKey }) => choose(id, shiftKey)}
                    />
                  </td>
                )}
                {columns.map(({ key, cell, isNumeric, drop }) => (
                  <td key={key} class={`${isNumeric ? 'num' : ''} ${drop ? `drop-${drop}` : ''}`}>
                    {cell(row)}
                  </td>
                ))}
                {rowActions && <td class="last">{rowActions(row)}</td>}
              </tr>
            )
          })}
          {spacer(rows.length - end)}
        </tbody>
      </table>
    </div>
  )
}

const known = <T,>(rows: readonly (T | undefined)[]) => rows.filter((row) => row !== undefined)

/** Arrows go from the box of one row to that of the next; Escape clears the selection. */
function moveBetweenBoxes(event: KeyboardEvent, onClear: () => void): void {
  const { target, key } = event
  if (!(target instanceof HTMLInputElement) || target.type !== 'checkbox') return
  if (key === 'Escape') return onClear()
  if (key !== 'ArrowDown' && key !== 'ArrowUp') return
  const row = target.closest('tr')
  const next = key === 'ArrowDown' ? row?.nextElementSibling : row?.previousElementSibling
  const box = next?.querySelector<HTMLInputElement>('td.check input')
  if (!box) return
  event.preventDefault()
  box.focus()
  if (event.shiftKey && !box.checked) box.click()
}

function Head<T>({
  column,
  sort,
  onSort,
}: {
  column: Column<T>
  sort: string | undefined
  onSort: ((sort: string) => void) | undefined
}) {
  const { key, head, value, isNumeric, drop } = column
  const names = `${isNumeric ? 'num' : ''} ${drop ? `drop-${drop}` : ''}`
  if (!value || !onSort) return <th class={names}>{t(head)}</th>
  const direction = sort === key ? 'ascending' : sort === reversed(key) ? 'descending' : 'none'
  return (
    <th class={names} aria-sort={direction}>
      <button type="button" class="sort" onClick={() => onSort(direction === 'ascending' ? reversed(key) : key)}>
        {t(head)}
        <span aria-hidden="true">{direction === 'ascending' ? '▲' : direction === 'descending' ? '▼' : ''}</span>
      </button>
    </th>
  )
}
