import type { ComponentChildren } from 'preact'
import { useRef, useState } from 'preact/hooks'
import type { ItemOf, ListName } from '../api/contracts.ts'
import { Verbs } from '../forms/verbs.tsx'
import { type Paged, readAllOf, usePages } from '../live/pages.ts'
import { Button } from '../widgets/button.tsx'
import { Empty, Problem, Skeleton } from '../widgets/states.tsx'
import { Table } from '../widgets/table.tsx'
import { t } from '../words/words.ts'
import { Bulk } from './bulk.tsx'
import { ListBar } from './list-bar.tsx'
import type { ListProps } from './list-screen.tsx'
import { useSettled } from './settled.ts'
import { useUrlState } from './url-state.ts'

const nobody: ReadonlySet<string> = new Set()

/** The last answer of a list, while that of its next query is on its way. */
export function useLast<T>(list: Paged<T>): Paged<T> {
  const last = useRef(list)
  if (list.at > 0) last.current = list
  return list.at === 0 && list.isLoading ? last.current : list
}

/** The rows of a list that stays on the server: it searches, sorts and counts; only rows in view are read. */
export function PagedRows<N extends ListName>(props: ListProps<N> & { button: ComponentChildren }) {
  const { columns, idOf, nameOf, verbs = [], facets = [], bulk, button } = props
  const [query, setQuery] = useUrlState('q')
  const [sort, setSort] = useUrlState('sort')
  const [view, setView] = useState({ first: 0, end: 1 })
  const [selected, setSelected] = useState(nobody)
  const seen = useRef(new Map<string, ItemOf<N>>())
  const order = sort || props.firstSort
  const q = useSettled(query)
  const fields = facets.map(({ field }) => field).join()
  const asked = { ...props.params, q: q || undefined, sort: order }
  // Without a search the rows bring the numbers of the whole list along.
  const { retry, ...found } = usePages(props.list, { ...asked, facets: q ? undefined : fields || undefined }, view)
  const whole = usePages(props.list, { ...props.params, facets: fields || undefined }, { ...ofWhole, isOff: !q })
  const list = useLast(found)
  const counted = useLast(q ? whole : found)
  const rows = list.rows
  for (const row of rows) if (row !== undefined) seen.current.set(idOf(row), row)
  const chosen = [...selected].flatMap((id) => seen.current.get(id) ?? [])
  const select = (change: (before: ReadonlySet<string>) => ReadonlySet<string>) => setSelected(change)
  const selectAll = async () => {
    if (selected.size > 0) return setSelected(nobody)
    const all = await readAllOf(props.list, asked)
    for (const item of all) seen.current.set(idOf(item), item)
    return setSelected(new Set(all.map(idOf)))
  }
  return (
    <>
      {(rows.length > 0 || query || counted.rows.length > 0) && (
        <ListBar
          facets={facets}
          counts={facets.map(({ field }) => Object.entries(counted.facets[field] ?? {}).slice(0, 100))}
          shown={rows.length}
          all={Math.max(rows.length, counted.rows.length)}
          query={query}
          onQuery={setQuery}
          button={props.isPart && button}
        />
      )}
      {chosen.length > 0 && bulk && <Bulk items={chosen} bulk={bulk} idOf={idOf} onClear={() => setSelected(nobody)} />}
      <ListStates {...props} list={list} q={q} onRetry={retry} onClear={() => setQuery('', 'push')} />
      {rows.length > 0 && (
        <Table
          label={t(props.title)}
          columns={columns}
          rows={rows}
          idOf={idOf}
          sort={order}
          onSort={(next) => setSort(next, 'push')}
          selected={bulk && selected}
          onSelect={bulk && select}
          onSelectAll={() => void selectAll()}
          onView={setView}
          rowActions={verbs.length > 0 ? (item) => <Verbs item={item} verbs={verbs} label={nameOf(item)} /> : undefined}
        />
      )}
    </>
  )
}

type StatesProps<N extends ListName> = Pick<ListProps<N>, 'empty' | 'emptyHint'> & {
  list: Paged<ItemOf<N>>
  q: string
  button?: ComponentChildren
  onRetry: () => void
  onClear: () => void
}

/** The states of a list without rows: refused, failed, not read yet, empty, nothing found. */
export function ListStates<N extends ListName>({
  list,
  q,
  empty,
  emptyHint,
  button,
  onRetry,
  onClear,
}: StatesProps<N>) {
  const { error, at, isLoading, rows } = list
  // A search that is no query of this list: its own words say which fields there are.
  if (error?.status === 422)
    return (
      <Empty title={t('noMatch')}>
        <p class="dim">{error.violations.map(({ message }) => message).join('; ')}</p>
      </Empty>
    )
  if (error) return <Problem error={error} onRetry={onRetry} />
  if (at === 0) return isLoading ? <Skeleton /> : null
  if (rows.length > 0) return null
  if (q)
    return (
      <Empty title={t('noMatch')}>
        <Button onClick={onClear}>{t('clearSearch')}</Button>
      </Empty>
    )
  return (
    <Empty title={t(empty)}>
      {emptyHint && <p>{t(emptyHint)}</p>}
      {button}
    </Empty>
  )
}

/** The numbers of the whole list need none of its rows. */
const ofWhole = { first: 0, end: 1, pageSize: 1 }
