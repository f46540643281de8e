import { useState } from 'preact/hooks'
import { call } from '../../api/client.ts'
import type { ResultOf } from '../../api/contracts.ts'
import { asRefusal } from '../../api/refusal.ts'
import { useUrlState } from '../../lists/url-state.ts'
import { useQuery } from '../../live/cache.ts'
import { Button } from '../../widgets/button.tsx'
import { Page } from '../../widgets/layout.tsx'
import { Empty, Loaded } from '../../widgets/states.tsx'
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

/** The chain of audit records, the newest first; the filters are in the address. */
export function Audit() {
  const { values, set } = useFilters()
  const [limit, setLimit] = useState(100)
  const [verdict, setVerdict] = useState<ResultOf<'audit.verify'>>()
  const records = useQuery('audit.list', { ...values, limit } as never)
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
      </div>
      <Loaded of={records} rows={8}>
        {({ data, next_cursor }) =>
          data.length === 0 ? (
            <Empty title={t('noMatch')} />
          ) : (
            <div class="stack">
              <Table
                label={t('nav.audit')}
                rows={data}
                idOf={({ seq }) => String(seq)}
                columns={[
                  {
                    key: 'time',
                    head: 'f.time',
                    cell: (record) => <time dateTime={record.time}>{time(record.time)}</time>,
                  },
                  { key: 'kind', head: 'f.kind', cell: ({ kind }) => told('audit', kind) },
                  { key: 'user', head: 'f.user', cell: ({ user }) => user ?? t('erased') },
                  {
                    key: 'path',
                    head: 'f.resource',
                    cell: ({ path }) => <code title={path ?? ''}>{path}</code>,
                    drop: 2,
                  },
                  {
                    key: 'result',
                    head: 'f.result',
                    cell: ({ result, message }) => <Status value={result} reason={message} />,
                    drop: 2,
                  },
                  { key: 'address', head: 'f.address', cell: ({ address }) => address ?? '–', drop: 1 },
                ]}
              />
              {next_cursor && limit < 1000 && (
                <div>
                  <Button onClick={() => setLimit(Math.min(1000, limit * 2))}>{t('more')}</Button>
                </div>
              )}
            </div>
          )
        }
      </Loaded>
    </Page>
  )
}
