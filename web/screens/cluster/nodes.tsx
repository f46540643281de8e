import type { Node } from '#shared/contracts/cluster/nodes.ts'
import { useRoute } from 'preact-iso'
import type { Verb } from '../../forms/verbs.tsx'
import { Verbs } from '../../forms/verbs.tsx'
import { ListScreen } from '../../lists/list-screen.tsx'
import { useQuery } from '../../live/cache.ts'
import type { Column } from '../../widgets/column.ts'
import { Card, Facts, Page } from '../../widgets/layout.tsx'
import { Loaded } from '../../widgets/states.tsx'
import { Status } from '../../widgets/status.tsx'
import { mib } from '../../words/format.ts'
import { t } from '../../words/words.ts'
import { AdoptGuests } from './adopt-guests.tsx'
import { Drain } from './drain.tsx'
import { ImportProxmox } from './import-proxmox.tsx'
import { WhatIf } from './rehearsal.tsx'
import { Metrics } from '../vm/metrics.tsx'

const columns: Column<Node>[] = [
  {
    key: 'name',
    head: 'f.name',
    cell: ({ id, name }) => <a href={`/nodes/${id}`}>{name}</a>,
    value: ({ name }) => name,
  },
  {
    key: 'status',
    head: 'f.status',
    cell: ({ status, status_reason }) => <Status value={status} reason={status_reason} />,
    value: ({ status }) => status,
  },
  {
    key: 'cpus',
    head: 'f.cpus',
    cell: ({ facts }) => facts?.cpus ?? '–',
    value: ({ facts }) => facts?.cpus ?? null,
    isNumeric: true,
    drop: 2,
  },
  {
    key: 'memory',
    head: 'f.memory',
    cell: ({ facts }) => mib(facts?.memory_mib),
    value: ({ facts }) => facts?.memory_mib ?? null,
    isNumeric: true,
    drop: 2,
  },
  {
    key: 'engines',
    head: 'f.engines',
    cell: ({ engines }) =>
      engines
        .filter(({ status }) => status === 'online')
        .map(({ kind }) => kind)
        .join(', '),
    drop: 1,
  },
  { key: 'maintenance', head: 'f.maintenance', cell: ({ maintenance }) => t(maintenance ? 'yes' : 'no'), drop: 1 },
]

const verbs: readonly Verb<Node>[] = [
  {
    action: 'nodes.update',
    label: 'verb.maintain',
    params: ({ id }) => ({ id, maintenance: true }),
    reason: ({ maintenance }) => (maintenance ? t('isMaintained') : undefined),
    confirm: ({ name }) => t('confirmMaintain', { name }),
  },
  {
    action: 'nodes.update',
    label: 'verb.endMaintenance',
    params: ({ id }) => ({ id, maintenance: false }),
    reason: ({ maintenance }) => (maintenance ? undefined : t('isNotMaintained')),
  },
  {
    action: 'nodes.pinHostKey',
    label: 'verb.pin',
    params: ({ id }) => ({ id }),
    reason: ({ kind }) => (kind === 'local' ? t('isLocalNode') : undefined),
    fields: () => [{ name: 'host_key', label: 'f.hostKey', isRequired: true, hint: 'hint.hostKey' }],
    note: (node) => <ShownKey node={node} />,
  },
  {
    action: 'vm-adoptions.run',
    label: 'verb.adoptGuests',
    params: ({ id }) => ({ id }),
    view: (node, onClose) => <AdoptGuests node={node} onClose={onClose} />,
  },
  {
    action: 'proxmox-imports.run',
    label: 'verb.importProxmox',
    params: ({ id }) => ({ source_node: id }),
    view: (node, onClose) => <ImportProxmox node={node} onClose={onClose} />,
  },
  {
    action: 'nodes.remove',
    label: 'verb.remove',
    params: ({ id }) => ({ id }),
    reason: ({ kind }) => (kind === 'local' ? t('isLocalNode') : undefined),
    isDanger: true,
    typed: ({ name }) => name,
    confirm: ({ name }) => t('confirmDelete', { name }),
  },
]

/** The key that the host shows now beside the pinned one. */
function ShownKey({ node: { address, ssh_port, host_key } }: { node: Node }) {
  const shown = useQuery('nodes.hostKey', address === null ? null : { address, ssh_port: ssh_port ?? 22 })
  return (
    <>
      <p class="note">{t('confirmPin')}</p>
      <Facts of={[[t('f.pinnedKey'), <code>{host_key}</code>]]} />
      <Loaded of={shown} rows={1}>
        {({ fingerprint }) => <Facts of={[[t('f.currentKey'), <code>{fingerprint}</code>]]} />}
      </Loaded>
    </>
  )
}

const register: Verb<null> = {
  action: 'nodes.register',
  label: 'registerNode',
  params: () => ({}),
  initial: () => ({ ssh_port: 22, ssh_user: 'root', allowed_paths: ['/var/lib/horcrux'] }),
  fields: () => [
    { name: 'name', label: 'f.name', isRequired: true },
    { name: 'address', label: 'f.address', isRequired: true },
    { name: 'ssh_port', label: 'f.sshPort' },
    { name: 'ssh_user', label: 'f.sshUser' },
    { name: 'private_key', label: 'f.privateKey', kind: 'area', isRequired: true, hint: 'hint.privateKey' },
    { name: 'host_key', label: 'f.hostKey', hint: 'hint.hostKey' },
    { name: 'allowed_paths', label: 'f.allowedPaths', kind: 'lines' },
  ],
}

export const Nodes = () => (
  <ListScreen
    title="nav.nodes"
    list="nodes.list"
    item="nodes.get"
    columns={columns}
    idOf={({ id }) => id}
    nameOf={({ name }) => name}
    words={({ id, name, address }) => [id, name, address]}
    facets={[{ field: 'status', label: 'f.status', of: ({ status }) => status }]}
    firstSort="name"
    verbs={verbs}
    create={register}
    empty="noNodes"
  />
)

export function NodePage() {
  const id = useRoute().params['id'] ?? ''
  const node = useQuery('nodes.get', { id })
  return (
    <Page
      title={node.data?.name ?? id}
      above={
        <nav class="crumbs" aria-label={t('place')}>
          <a href="/nodes">{t('nav.nodes')}</a>
        </nav>
      }
      actions={node.data && <Verbs item={node.data} verbs={verbs} shown={1} label={node.data.name} />}
    >
      <Loaded of={node}>
        {({ facts, engines, channels, ...data }) => (
          <div class="stack">
            <div class="cards">
              <Card title={t('tab.overview')}>
                <Facts
                  of={[
                    [t('f.status'), <Status value={data.status} reason={data.status_reason} />],
                    [t('f.address'), data.address ?? t('thisMachine')],
                    [t('f.maintenance'), t(data.maintenance ? 'yes' : 'no')],
                    [t('f.cpus'), facts && `${facts.cpus} × ${facts.cpu_model}`],
                    [t('f.memory'), mib(facts?.memory_mib)],
                    [t('f.kernelVersion'), facts?.kernel],
                    [t('f.acceleration'), facts && `${facts.accel.toUpperCase()}: ${facts.accel_reason}`],
                    [t('f.hostKey'), data.host_key && <code>{data.host_key}</code>],
                    [
                      t('f.allowedPaths'),
                      data.allowed_paths.map((path) => (
                        <div key={path} class="mono">
                          {path}
                        </div>
                      )),
                    ],
                  ]}
                />
                {data.status_reason && <p class="note">{data.status_reason}</p>}
              </Card>
              <Card title={t('f.engines')}>
                <Facts
                  of={engines.map(({ kind, status, reason, version }) => [
                    kind,
                    <>
                      <Status value={status} /> {version}
                      {status !== 'absent' && reason && <div class="dim">{reason}</div>}
                    </>,
                  ])}
                />
              </Card>
              <Card title={t('f.channels')}>
                <Facts
                  of={channels.map(({ channel, subject, status, reason }) => [
                    channel === 'storage' ? subject : t(`channel.${channel}`),
                    <>
                      <Status value={status} />
                      {reason && <div class="dim">{reason}</div>}
                    </>,
                  ])}
                />
              </Card>
            </div>
            <Drain node={node.data!} />
            <WhatIf node={node.data!} />
            <Metrics subject={`nodes/${id}`} />
          </div>
        )}
      </Loaded>
    </Page>
  )
}
