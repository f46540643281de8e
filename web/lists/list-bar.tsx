import type { ComponentChildren } from 'preact'
import { count } from '../words/format.ts'
import { t, told, type Word } from '../words/words.ts'
import { fieldIn, withField } from './query.ts'

type Props = {
  facets: readonly { field: string; label: Word }[]
  /** Of each facet its values, with the number of items. */ counts: readonly [string, number][][]
  shown: number
  all: number
  query: string
  onQuery: (query: string, how?: 'push' | 'replace') => void
  button: ComponentChildren
}

/** The search of a list, its facets and its numbers. */
export function ListBar({ facets, counts, shown, all, query, onQuery, button }: Props) {
  return (
    <div class="list-bar">
      <input
        type="search"
        data-search
        aria-label={t('search')}
        placeholder={t('searchHint')}
        value={query}
        onInput={({ currentTarget }) => onQuery(currentTarget.value)}
      />
      {facets.map(({ field, label }, index) => (
        <Facet
          key={field}
          label={t(label)}
          value={fieldIn(query, field)}
          counts={counts[index] ?? []}
          onChange={(value) => onQuery(withField(query, field, value), 'push')}
        />
      ))}
      <span class="total" role="status">
        {shown === all ? t('total', { count: count(all) }) : t('totalOf', { count: count(shown), all: count(all) })}
      </span>
      {button}
    </div>
  )
}

function Facet({
  label,
  value,
  counts,
  onChange,
}: {
  label: string
  value: string
  counts: [string, number][]
  onChange: (value: string) => void
}) {
  if (counts.length < 2 && !value) return null
  return (
    <select aria-label={label} value={value} onChange={({ currentTarget }) => onChange(currentTarget.value)}>
      <option value="">{label}</option>
      {counts.map(([key, number]) => (
        <option key={key} value={key}>
          {told('status', key)} ({count(number)})
        </option>
      ))}
    </select>
  )
}
