import type { Network } from '#shared/contracts/container/networks.ts'
import type { Verb } from '../../forms/verbs.tsx'
import { ListScreen } from '../../lists/list-screen.tsx'
import type { Column } from '../../widgets/column.ts'
import { t } from '../../words/words.ts'

const columns: Column<Network>[] = [
  { key: 'name', head: 'f.name', cell: ({ name }) => name, value: ({ name }) => name },
  { key: 'type', head: 'f.kind', cell: ({ type }) => type, value: ({ type }) => type },
  { key: 'subnets', head: 'f.subnets', cell: ({ subnets }) => subnets.map(({ subnet }) => subnet).join(', ') },
  {
    key: 'attachments',
    head: 'nav.containers',
    cell: ({ attachments }) => attachments.length,
    value: ({ attachments }) => attachments.length,
    isNumeric: true,
    drop: 2,
  },
  { key: 'bridge', head: 'f.bridge', cell: ({ bridge, parent }) => bridge ?? parent, drop: 1 },
  { key: 'node', head: 'f.node', cell: ({ node }) => node, value: ({ node }) => node, drop: 2 },
]

const verbs: readonly Verb<Network>[] = [
  {
    action: 'networks.attach',
    label: 'verb.attach',
    params: ({ id }) => ({ id }),
    fields: () => [
      { name: 'container', label: 'f.containerId', isRequired: true },
      { name: 'addresses', label: 'f.fixedAddresses', hint: 'hint.fixedAddresses' },
      { name: 'ports', label: 'f.ports', kind: 'json', hint: 'hint.ports' },
    ],
  },
  {
    action: 'networks.detach',
    label: 'verb.detach',
    params: ({ id }) => ({ id }),
    reason: ({ attachments }) => (attachments.length > 0 ? undefined : t('noAttachments')),
    initial: ({ attachments }) => ({ container: attachments[0]?.container }),
    fields: ({ attachments }) => [
      {
        name: 'container',
        label: 'f.containerId',
        kind: 'select',
        options: attachments.map(({ container }) => container),
      },
    ],
    isDanger: true,
  },
  {
    action: 'networks.delete',
    label: 'verb.delete',
    params: ({ id }) => ({ id }),
    reason: ({ attachments }) => (attachments.length > 0 ? t('hasAttachments') : undefined),
    typed: ({ name }) => name,
    confirm: ({ name }) => t('confirmDelete', { name }),
    isDanger: true,
  },
]

const create: Verb<null> = {
  action: 'networks.create',
  label: 'createNetwork',
  params: () => ({}),
  initial: () => ({ node: 'local', type: 'bridge', subnets: ['10.44.0.0/24'] }),
  fields: () => [
    { name: 'name', label: 'f.name', isRequired: true },
    { name: 'node', label: 'f.node', isRequired: true },
    { name: 'type', label: 'f.kind', kind: 'select', options: ['bridge', 'macvlan'] },
    { name: 'subnets', label: 'f.subnets', kind: 'words', isRequired: true, hint: 'hint.subnets' },
    { name: 'parent', label: 'f.parent', when: ({ type }) => type === 'macvlan' },
    { name: 'internal', label: 'f.internal' },
  ],
  prepare: (params) => ({ ...params, subnets: (params['subnets'] as string[]).map((subnet) => ({ subnet })) }),
}

export const Networks = () => (
  <ListScreen
    title="nav.networks"
    list="networks.list"
    item="networks.get"
    columns={columns}
    idOf={({ id }) => id}
    nameOf={({ name }) => name}
    words={({ id, name, subnets }) => [id, name, subnets.map(({ subnet }) => subnet)]}
    firstSort="name"
    verbs={verbs}
    create={create}
    empty="noNetworks"
    emptyHint="noNetworksHint"
  />
)
