import type { ComponentChildren } from 'preact'
import { useMemo, useState } from 'preact/hooks'
import type { ActionName, ItemOf, ListName } from '../api/contracts.ts'
import { may } from '../api/session.ts'
import { reasonOf, type Verb, VerbDialog, Verbs } from '../forms/verbs.tsx'
import { useCollection } from '../live/collection.ts'
import { Button } from '../widgets/button.tsx'
import { Page } from '../widgets/layout.tsx'
import { Empty, Problem, Skeleton } from '../widgets/states.tsx'
import type { Column } from '../widgets/column.ts'
import { sorted } from '../widgets/rows.ts'
import { Table } from '../widgets/table.tsx'
import { t, type Word } from '../words/words.ts'
import { Bulk, type BulkOf } from './bulk.tsx'
import { ListBar } from './list-bar.tsx'
import { PagedRows } from './paged-rows.tsx'
import { matches, termsOf } from './query.ts'
import { useUrlState } from './url-state.ts'

export type ListProps<N extends ListName> = {
  title: Word
  list: N
  params?: Record<string, unknown>
  /** Reads one item after its change. */ item?: ActionName
  columns: Column<ItemOf<N>>[]
  idOf: (item: ItemOf<N>) => string
  nameOf: (item: ItemOf<N>) => string
  /** Texts that plain words of a search are looked for in. */ words: (item: ItemOf<N>) => unknown[]
  facets?: { field: string; label: Word; of: (item: ItemOf<N>) => string | readonly string[] }[]
  verbs?: readonly Verb<ItemOf<N>>[]
  bulk?: BulkOf<ItemOf<N>>
  /** A link to a page, or a dialog, that makes a new item. */ create?:
    | { label: Word; href: string; action: ActionName }
    | Verb<null>
  firstSort?: string
  /** Stays on the server, which searches, sorts and counts it: for lists of thousands. Keys of columns are its fields. */
  isPaged?: boolean
  empty: Word
  emptyHint?: Word
  /** Without the heading of a page: as a part of another one. */ isPart?: boolean
  above?: ComponentChildren
}

/** A list as a screen: search, facets, sorting, selection, actions, and a state for each case. */
export function ListScreen<N extends ListName>(props: ListProps<N>) {
  const { create } = props
  const [isCreating, setCreating] = useState(false)
  const mayCreate = create && may(create.action, 'params' in create ? create.params(null) : {})
  const button = mayCreate && create && <Create create={create} onOpen={() => setCreating(true)} />
  const body = (
    <>
      {props.above}
      {props.isPaged ? <PagedRows {...props} button={button} /> : <Rows {...props} button={button} />}
      {isCreating && create && 'params' in create && (
        <VerbDialog verb={create} item={null} name={t(props.title)} onClose={() => setCreating(false)} />
      )}
    </>
  )
  return props.isPart ? (
    body
  ) : (
    <Page title={t(props.title)} actions={button}>
      {body}
    </Page>
  )
}

function Create({ create, onOpen }: { create: NonNullable<ListProps<ListName>['create']>; onOpen: () => void }) {
  if ('href' in create)
    return (
      <a class="button main" href={create.href}>
        {t(create.label)}
      </a>
    )
  return (
    <Button kind="main" icon="plus" reason={reasonOf(create, null)} onClick={onOpen}>
      {t(create.label)}
    </Button>
  )
}

function Rows<N extends ListName>(props: ListProps<N> & { button: ComponentChildren }) {
  const { columns, idOf, nameOf, words, verbs = [], facets = [], bulk, button } = props
  const { items, error, isLoading, at, retry } = useCollection(props.list, props.params, props.item)
  const [query, setQuery] = useUrlState('q')
  const [sort, setSort] = useUrlState('sort')
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set())
  const order = sort || props.firstSort
  // Sorted once for each state of the list, not for each key of a search.
  const ordered = useMemo(() => sorted(items, columns, order), [items, order])
  const shown = useMemo(() => {
    const terms = termsOf(query)
    // The items of every list are records of the API.
    const fits = (item: ItemOf<N>) => matches(terms, item as Record<string, unknown>, words(item))
    return terms.length === 0 ? ordered : ordered.filter(fits)
  }, [ordered, query])
  const counts = useMemo(() => facets.map(({ of }) => countsOf(items, of)), [items])
  const chosen = useMemo(() => shown.filter((item) => selected.has(idOf(item))), [shown, selected])
  return (
    <>
      {(items.length > 0 || query) && (
        <ListBar
          facets={facets}
          counts={counts}
          shown={shown.length}
          all={items.length}
          query={query}
          onQuery={setQuery}
          button={props.isPart && button}
        />
      )}
      {chosen.length > 0 && bulk && (
        <Bulk items={chosen} bulk={bulk} idOf={idOf} onClear={() => setSelected(new Set())} />
      )}
      {error && <Problem error={error} onRetry={retry} />}
      {at === 0 && isLoading && !error && <Skeleton />}
      {at > 0 && items.length === 0 && !error && (
        <Empty title={t(props.empty)}>
          {props.emptyHint && <p>{t(props.emptyHint)}</p>}
          {button}
        </Empty>
      )}
      {items.length > 0 && shown.length === 0 && (
        <Empty title={t('noMatch')}>
          <Button onClick={() => setQuery('', 'push')}>{t('clearSearch')}</Button>
        </Empty>
      )}
      {shown.length > 0 && (
        <Table
          label={t(props.title)}
          columns={columns}
          rows={shown}
          idOf={idOf}
          sort={order}
          onSort={(next) => setSort(next, 'push')}
          selected={bulk && selected}
          onSelect={bulk && setSelected}
          rowActions={verbs.length > 0 ? (item) => <Verbs item={item} verbs={verbs} label={nameOf(item)} /> : undefined}
        />
      )}
    </>
  )
}

function countsOf<T>(items: readonly T[], of: (item: T) => string | readonly string[]): [string, number][] {
  const counts = new Map<string, number>()
  for (const item of items)
    for (const value of [of(item)].flat()) if (value) counts.set(value, (counts.get(value) ?? 0) + 1)
  return [...counts].toSorted(([a], [b]) => a.localeCompare(b)).slice(0, 100)
}
