import type { Volume } from '#shared/contracts/storage/volumes.ts'
import { useRoute } from 'preact-iso'
import { may } from '../../api/session.ts'
import { Verbs } from '../../forms/verbs.tsx'
import { ListScreen } from '../../lists/list-screen.tsx'
import { useQuery } from '../../live/cache.ts'
import { useCollection } from '../../live/collection.ts'
import type { Column } from '../../widgets/column.ts'
import { Card, Facts, Page } from '../../widgets/layout.tsx'
import { Loaded } from '../../widgets/states.tsx'
import { Meter, Status, Tag } from '../../widgets/status.tsx'
import { bytes, time } from '../../words/format.ts'
import { t, told } from '../../words/words.ts'
import { Encryption } from './encryption.tsx'
import { poolVerbs } from './pools.tsx'
import { Uploads } from './uploads.tsx'
import { volumeVerbs } from './volume-verbs.tsx'
import './words.ts'

const idOfPath = (path: string) => decodeURIComponent(path.split('/').at(-1) ?? '')

const columns: Column<Volume>[] = [
  { key: 'name', head: 'f.name', cell: ({ name }) => name, value: ({ name }) => name },
  {
    key: 'size_bytes',
    head: 'f.size',
    cell: ({ size_bytes }) => bytes(size_bytes),
    value: ({ size_bytes }) => size_bytes,
    isNumeric: true,
  },
  {
    key: 'used_by',
    head: 'f.usedBy',
    cell: ({ used_by }) => used_by && <a href={`/vms/${idOfPath(used_by)}`}>{idOfPath(used_by)}</a>,
    value: ({ used_by }) => used_by,
  },
  { key: 'format', head: 'f.format', cell: ({ format }) => format, value: ({ format }) => format, drop: 2 },
  { key: 'backing', head: 'f.backing', cell: ({ backing }) => backing ?? '–', drop: 1 },
]

export function PoolPage() {
  const id = useRoute().params['id'] ?? ''
  const pool = useQuery('pools.get', { id })
  const pools = useCollection('pools.list', {}, 'pools.get').items
  return (
    <Page
      title={pool.data?.name ?? id}
      above={
        <nav class="crumbs" aria-label={t('place')}>
          <a href="/storage">{t('nav.storage')}</a>
        </nav>
      }
      actions={pool.data && <Verbs item={pool.data} verbs={poolVerbs} shown={1} label={pool.data.name} />}
    >
      <Loaded of={pool}>
        {(data) => (
          <div class="stack">
            <Card title={t('tab.overview')}>
              <Facts
                of={[
                  [t('f.health'), <Status value={data.health} reason={data.health_reason} />],
                  [t('f.kind'), data.type],
                  [t('nav.nodes'), data.nodes?.join(', ') ?? t('allNodes')],
                  [t('f.formats'), data.capabilities.formats.join(', ')],
                  [
                    t('f.can'),
                    Object.entries(data.capabilities)
                      .filter(([, value]) => value === true)
                      .map(([name]) => <Tag key={name} text={told('can', name)} />),
                  ],
                  ...data.fills.map((fill): [string, preact.ComponentChildren] => [
                    told('fill', fill.name),
                    <>
                      <Meter
                        part={fill.capacity_bytes - fill.available_bytes}
                        whole={fill.capacity_bytes}
                        label={told('fill', fill.name)}
                        text={t('freeOf', { free: bytes(fill.available_bytes), all: bytes(fill.capacity_bytes) })}
                      />
                      {fill.full_at && <div class="dim">{t('fullAt', { time: time(fill.full_at) })}</div>}
                    </>,
                  ]),
                ]}
              />
              {data.health_reason && <p class="note">{data.health_reason}</p>}
            </Card>
            {data.capabilities.objects && may('backup-store-keys.get', { id }) && <Encryption pool={id} />}
            {may('uploads.create', { id }) && <Uploads pool={id} />}
            <ListScreen
              isPart
              title="volumes"
              list="volumes.list"
              params={{ id }}
              columns={columns}
              idOf={({ name }) => name}
              nameOf={({ name }) => name}
              words={({ name, used_by }) => [name, used_by]}
              facets={[{ field: 'format', label: 'f.format', of: ({ format }) => format }]}
              firstSort="name"
              isPaged
              verbs={volumeVerbs(pools)}
              create={{
                action: 'volumes.create',
                label: 'createVolume',
                params: () => ({ id }),
                fields: () => [
                  { name: 'name', label: 'f.name', isRequired: true },
                  { name: 'size', label: 'f.size', isRequired: true, hint: 'hint.size' },
                  {
                    name: 'format',
                    label: 'f.format',
                    kind: 'select',
                    options: [
                      ['', t('automatic')],
                      ...data.capabilities.formats.map((format) => [format, format] as const),
                    ],
                  },
                ],
                prepare: (params) => ({ ...params, format: params['format'] || undefined }),
              }}
              empty="noVolumes"
            />
          </div>
        )}
      </Loaded>
    </Page>
  )
}
