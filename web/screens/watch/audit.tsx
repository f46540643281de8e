import { useLocation } from 'preact-iso'
import { useState } from 'preact/hooks'
import { call } from '../../api/client.ts'
import type { ItemOf, ResultOf } from '../../api/contracts.ts'
import { asRefusal } from '../../api/refusal.ts'
import { ListStates, useLast } from '../../lists/paged-rows.tsx'
import { useSettled } from '../../lists/settled.ts'
import { useUrlState } from '../../lists/url-state.ts'
import { usePages } from '../../live/pages.ts'
import { Button } from '../../widgets/button.tsx'
import { Page } from '../../widgets/layout.tsx'
import type { Column } from '../../widgets/column.ts'
import { Status } from '../../widgets/status.tsx'
import { Table } from '../../widgets/table.tsx'
import { toast } from '../../widgets/toasts.tsx'
import { count, time } from '../../words/format.ts'
import { t, told, type Word } from '../../words/words.ts'

const filters: [key: string, word: Word, choices?: string[]][] = [
  ['user', 'f.user'],
  ['kind', 'f.kind'],
  ['resource', 'f.resource'],
  ['result', 'f.result', ['success', 'failure', 'denied', 'accepted']],
  ['severity', 'f.severity', ['info', 'warning', 'critical']],
]

function useFilters(): { values: Record<string, string>; set: Record<string, (value: string) => void> } {
  const values: Record<string, string> = {}
  const set: Record<string, (value: string) => void> = {}
  for (const [key] of filters) {
    const [value, put] = useUrlState(key)
    values[key] = value
    set[key] = put
  }
  return { values, set }
}

const columns: Column<ItemOf<'audit.list'>>[] = [
  {
    key: 'time',
    head: 'f.time',
    cell: (record) => <time dateTime={record.time}>{time(record.time)}</time>,
    value: (record) => record.time,
  },
  { key: 'kind', head: 'f.kind', cell: ({ kind }) => told('audit', kind) },
  { key: 'user', head: 'f.user', cell: ({ user }) => user ?? t('erased') },
  { key: 'path', head: 'f.resource', cell: ({ path }) => <code title={path ?? ''}>{path}</code>, drop: 2 },
  {
    key: 'result',
    head: 'f.result',
    cell: ({ result, message }) => <Status value={result} reason={message} />,
    drop: 2,
  },
  { key: 'address', head: 'f.address', cell: ({ address }) => address ?? '–', drop: 1 },
]

/** The fields of a row. */
const listFields = 'seq,time,kind,user,path,result,message,address'
/** Records have no events: most come with a change, which has one. */
const afterAnyMs = 2000

/** The chain of audit records, the newest first; it stays on the server, and the filters are in the address. */
export function Audit() {
  const { values, set } = useFilters()
  const { route, path } = useLocation()
  const [sort, setSort] = useUrlState('sort')
  const [view, setView] = useState({ first: 0, end: 1 })
  const [verdict, setVerdict] = useState<ResultOf<'audit.verify'>>()
  const settled = useSettled(JSON.stringify(values))
  const asked = {
    ...(JSON.parse(settled) as typeof values),
    order: sort === 'time' ? 'asc' : 'desc',
    fields: listFields,
  }
  const { retry, ...found } = usePages('audit.list', asked, { ...view, afterAnyMs })
  const list = useLast(found)
  const verify = () =>
    call('audit.verify', {}).then(
      ({ data }) => setVerdict(data),
      (error: unknown) => toast('bad', asRefusal(error).message),
    )
  return (
    <Page title={t('nav.audit')} actions={<Button onClick={verify}>{t('verifyChain')}</Button>}>
      {verdict && (
        <p class="row above-tabs" role="status">
          <Status value={verdict.valid ? 'success' : 'failed'} />{' '}
          {t(verdict.valid ? 'chainIntact' : 'chainBroken', { count: count(verdict.records) })}
          {verdict.findings.slice(0, 5).map(({ message }) => (
            <span key={message} class="note">
              {message}
            </span>
          ))}
        </p>
      )}
      <div class="list-bar">
        {filters.map(([key, word, choices]) =>
          choices ? (
            <select
              key={key}
              aria-label={t(word)}
              value={values[key]}
              onChange={({ currentTarget }) => set[key]!(currentTarget.value)}
            >
              <option value="">{t(word)}</option>
              {choices.map((choice) => (
                <option key={choice} value={choice}>
                  {told('status', choice)}
                </option>
              ))}
            </select>
          ) : (
            <input
              key={key}
              type="search"
              aria-label={t(word)}
              placeholder={t(word)}
              value={values[key]}
              onChange={({ currentTarget }) => set[key]!(currentTarget.value)}
            />
          ),
        )}
        <span class="total" role="status">
          {t('total', { count: count(list.rows.length) })}
        </span>
      </div>
      <ListStates
        list={list}
        empty="noMatch"
        q={Object.values(values).join('')}
        onRetry={retry}
        onClear={() => route(path)}
      />
      {list.rows.length > 0 && (
        <Table
          label={t('nav.audit')}
          columns={columns}
          rows={list.rows}
          idOf={({ seq }) => String(seq)}
          sort={sort || '-time'}
          onSort={(next) => setSort(next, 'push')}
          onView={setView}
        />
      )}
    </Page>
  )
}
