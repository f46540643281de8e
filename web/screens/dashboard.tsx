import { may, mayAnywhere } from '../api/session.ts'
import { useQuery } from '../live/cache.ts'
import { usePages } from '../live/pages.ts'
import { isOver, operationList } from '../live/operations.ts'
import { OperationRow } from '../shell/operations-drawer.tsx'
import { Card, Page } from '../widgets/layout.tsx'
import { Empty, Loaded } from '../widgets/states.tsx'
import { Meter, Status } from '../widgets/status.tsx'
import { ago, bytes, count, percent } from '../words/format.ts'
import { t, told } from '../words/words.ts'

/** The server counts; no rows are needed. */
const numbersOnly = { first: 0, end: 1, pageSize: 1 }

export function Dashboard() {
  const vms = usePages('vms.list', { fields: 'id', q: '-template:true', facets: 'status' }, numbersOnly)
  const seesContainers = mayAnywhere('containers.list')
  const containers = usePages(
    'containers.list',
    { fields: 'id', facets: 'status' },
    { ...numbersOnly, isOff: !seesContainers },
  )
  const isIn = (status: string) => vms.facets['status']?.[status] ?? 0
  const running = operationList.value.filter((operation) => !isOver(operation))
  const statuses = ['running', 'stopped', 'paused', 'unknown'].filter(
    (status) => status === 'running' || isIn(status) > 0,
  )
  return (
    <Page title={t('nav.dashboard')}>
      <div class="stack">
        <div class="tiles">
          {statuses.map((status) => (
            <a key={status} class="tile" href={`/vms?q=${encodeURIComponent(`status:${status}`)}`}>
              <b>{count(isIn(status))}</b>
              <span>{t('vmsIn', { status: told('status', status) })}</span>
            </a>
          ))}
          {seesContainers && (
            <a class="tile" href={`/containers?q=${encodeURIComponent('status:running')}`}>
              <b>{count(containers.facets['status']?.['running'] ?? 0)}</b>
              <span>{t('containersRunning', { all: count(containers.rows.length) })}</span>
            </a>
          )}
          <a class="tile" href="/operations">
            <b>{count(running.length)}</b>
            <span>{t('operationsRunning')}</span>
          </a>
        </div>
        {vms.at > 0 && vms.rows.length === 0 && <FirstSteps />}
        <div class="cards">
          {may('alerts.active') && <Alerts />}
          {mayAnywhere('nodes.list') && <Nodes />}
          {mayAnywhere('pools.list') && <Pools />}
          <Card title={t('nav.operations')} actions={<a href="/operations">{t('all')}</a>}>
            {operationList.value.length === 0 ? (
              <Empty title={t('noOperations')} />
            ) : (
              operationList.value.slice(0, 5).map((each) => <OperationRow key={each.id} operation={each} />)
            )}
          </Card>
        </div>
      </div>
    </Page>
  )
}

/** The next steps of a new installation; each leads on, and is gone when there is a VM. */
function FirstSteps() {
  return (
    <Card title={t('firstSteps')}>
      <ol>
        {mayAnywhere('pools.create') && (
          <li>
            <a href="/storage">{t('stepPool')}</a>
          </li>
        )}
        {mayAnywhere('vms.create') && (
          <li>
            <a href="/vms/new">{t('stepVm')}</a>
          </li>
        )}
        <li>
          <a href="/account">{t('stepTotp')}</a>
        </li>
        <li>
          <a href="/api/docs" target="_blank" rel="noopener">
            {t('stepApi')}
          </a>
        </li>
      </ol>
    </Card>
  )
}

function Alerts() {
  const alerts = useQuery('alerts.active', { limit: 10 })
  return (
    <Card title={t('nav.alerts')} actions={<a href="/alerts">{t('all')}</a>}>
      <Loaded of={alerts} rows={2}>
        {({ data }) =>
          data.length === 0 ? (
            <p class="row">
              <Status value="ok" /> {t('noAlerts')}
            </p>
          ) : (
            <ul class="steps">
              {data.map((alert) => (
                <li key={alert.id} class="row">
                  <Status value={alert.severity} /> <span class="grow">{alert.message}</span>{' '}
                  <time class="dim" dateTime={alert.pending_since}>
                    {ago(alert.pending_since)}
                  </time>
                </li>
              ))}
            </ul>
          )
        }
      </Loaded>
    </Card>
  )
}

function Nodes() {
  const nodes = useQuery('nodes.list', { limit: 100 })
  const measured = useQuery('monitoring.nodes', { limit: 100 })
  return (
    <Card title={t('nav.nodes')} actions={<a href="/nodes">{t('all')}</a>}>
      <Loaded of={nodes} rows={2}>
        {({ data }) => (
          <ul class="steps">
            {data.map((node) => {
              const now = measured.data?.data.find(({ node_id }) => node_id === node.id)
              return (
                <li key={node.id} class="row">
                  <a href={`/nodes/${node.id}`} class="grow">
                    {node.name}
                  </a>
                  <Status value={node.status} reason={node.status_reason} />
                  <Meter
                    part={now?.cpu_percent ?? 0}
                    whole={100}
                    label={`${t('m.cpu')} ${node.name}`}
                    text={`${t('m.cpu')} ${percent(now?.cpu_percent)}`}
                  />
                  <Meter
                    part={now?.memory_percent ?? 0}
                    whole={100}
                    label={`${t('m.memory')} ${node.name}`}
                    text={`${t('m.memory')} ${percent(now?.memory_percent)}`}
                  />
                </li>
              )
            })}
          </ul>
        )}
      </Loaded>
    </Card>
  )
}

function Pools() {
  const pools = useQuery('pools.list', { limit: 100 })
  return (
    <Card title={t('nav.storage')} actions={<a href="/storage">{t('all')}</a>}>
      <Loaded of={pools} rows={2}>
        {({ data }) =>
          data.length === 0 ? (
            <p class="dim">{t('noPools')}</p>
          ) : (
            <ul class="steps">
              {data.map(({ id, name, health, capacity_bytes, available_bytes }) => {
                const used = (capacity_bytes ?? 0) - (available_bytes ?? 0)
                return (
                  <li key={id} class="row">
                    <a href={`/storage/${id}`} class="grow">
                      {name}
                    </a>
                    <Status value={health} />
                    {capacity_bytes !== null && (
                      <Meter
                        part={used}
                        whole={capacity_bytes}
                        label={`${t('f.used')} ${name}`}
                        text={t('usedOf', { used: bytes(used), all: bytes(capacity_bytes) })}
                      />
                    )}
                  </li>
                )
              })}
            </ul>
          )
        }
      </Loaded>
    </Card>
  )
}
