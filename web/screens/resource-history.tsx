import { may } from '../api/session.ts'
import { useQuery } from '../live/cache.ts'
import { OperationRow } from '../shell/operations-drawer.tsx'
import { Card } from '../widgets/layout.tsx'
import { Empty, Loaded } from '../widgets/states.tsx'
import { Status } from '../widgets/status.tsx'
import { Table } from '../widgets/table.tsx'
import { time } from '../words/format.ts'
import { t, told } from '../words/words.ts'

/** History of a resource: its operations, and its audit records for callers who may read them. */
export function ResourceHistory({ path }: { path: string }) {
  const operations = useQuery('operations.list', { filter: `resource:${path}`, limit: 30 })
  const audit = useQuery('audit.list', may('audit.list') ? { resource: `${path}*`, limit: 50 } : null)
  return (
    <div class="cards">
      <Card title={t('nav.operations')}>
        <Loaded of={operations}>
          {({ data }) =>
            data.length === 0 ? (
              <Empty title={t('noOperations')} />
            ) : (
              data.map((each) => <OperationRow key={each.id} operation={each} />)
            )
          }
        </Loaded>
      </Card>
      {may('audit.list') && (
        <Card title={t('nav.audit')}>
          <Loaded of={audit}>
            {({ data }) => (
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
                  { key: 'user', head: 'f.user', cell: ({ user }) => user, drop: 2 },
                  { key: 'result', head: 'f.result', cell: ({ result }) => <Status value={result} />, drop: 2 },
                ]}
              />
            )}
          </Loaded>
        </Card>
      )}
    </div>
  )
}
