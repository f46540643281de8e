import type { Vm } from '#shared/contracts/vm/vms.ts'
import { useLocation, useRoute } from 'preact-iso'
import { useEffect } from 'preact/hooks'
import { may } from '../../api/session.ts'
import { Verbs } from '../../forms/verbs.tsx'
import { useQuery } from '../../live/cache.ts'
import { Page, Tabs } from '../../widgets/layout.tsx'
import { Loaded } from '../../widgets/states.tsx'
import { Status } from '../../widgets/status.tsx'
import { t, type Word } from '../../words/words.ts'
import { ResourceHistory } from '../resource-history.tsx'
import { Console } from './console.tsx'
import { Hardware } from './hardware.tsx'
import { Metrics } from './metrics.tsx'
import { Overview } from './overview.tsx'
import { Move } from './move.tsx'
import { Snapshots } from './snapshots.tsx'
import { CloudInit } from './cloud-init.tsx'
import { vmVerbs } from './verbs.tsx'

const tabs: [key: string, word: Word][] = [
  ['overview', 'tab.overview'],
  ['hardware', 'tab.hardware'],
  ['snapshots', 'tab.snapshots'],
  ['console', 'tab.console'],
  ['cloud-init', 'tab.cloudInit'],
  ['move', 'tab.move'],
  ['metrics', 'tab.metrics'],
  ['history', 'tab.history'],
]

/** Tabs of things that not everybody may do. */
function isAllowed(tab: string, id: string): boolean {
  if (tab === 'console') return may('consoles.open', { vm_id: id })
  return tab !== 'move' || may('migrations.start', { vm_id: id })
}

export function VmPage() {
  const { params } = useRoute()
  const { route } = useLocation()
  const id = params['id'] ?? ''
  const tab = params['tab'] || 'overview'
  const vm = useQuery('vms.get', { id })
  const shown = tabs.filter(([key]) => isAllowed(key, id))
  useEffect(() => {
    if (!tabs.some(([key]) => key === tab)) route(`/vms/${id}`, true)
  }, [tab])
  return (
    <Page
      title={vm.data?.name ?? id}
      above={
        <nav class="crumbs" aria-label={t('place')}>
          <a href="/vms">{t('nav.vms')}</a>
        </nav>
      }
      actions={vm.data && <Verbs item={vm.data} verbs={vmVerbs} shown={3} label={vm.data.name} />}
    >
      <Loaded of={vm}>
        {(data) => (
          <>
            <p class="row" style={{ marginBottom: '1rem' }}>
              <Status value={data.template ? 'template' : data.status} reason={data.status_reason} />
              {data.status_reason && <span class="dim">{data.status_reason}</span>}
              {data.pending_restart && <span class="tag">{t('pendingRestart')}</span>}
            </p>
            <Tabs
              label={data.name}
              base={`/vms/${id}`}
              current={tab}
              tabs={shown.map(([key, word]) => [key, t(word)])}
            />
            <Part tab={tab} vm={data} etag={vm.etag} />
          </>
        )}
      </Loaded>
    </Page>
  )
}

function Part({ tab, vm, etag }: { tab: string; vm: Vm; etag: string | undefined }) {
  switch (tab) {
    case 'hardware':
      return <Hardware vm={vm} />
    case 'snapshots':
      return <Snapshots vm={vm} />
    case 'console':
      return <Console vm={vm} />
    case 'cloud-init':
      return <CloudInit vm={vm} />
    case 'move':
      return <Move vm={vm} />
    case 'metrics':
      return <Metrics subject={`vms/${vm.id}`} />
    case 'history':
      return <ResourceHistory path={`/api/vms/${vm.id}`} />
    default:
      return <Overview vm={vm} etag={etag} />
  }
}
