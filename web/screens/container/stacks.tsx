import { enums } from 'virtual:forms'
import type { Stack } from '#shared/contracts/container/stacks.ts'
import type { Verb } from '../../forms/verbs.tsx'
import { ListScreen } from '../../lists/list-screen.tsx'
import type { Column } from '../../widgets/column.ts'
import { Status } from '../../widgets/status.tsx'
import { t } from '../../words/words.ts'
import { ChangeStack, composeFile, showStackPlan, StackFile } from './stack-dialogs.tsx'

const columns: Column<Stack>[] = [
  {
    key: 'name',
    head: 'f.name',
    cell: ({ name }) => <a href={`/containers?stack=${encodeURIComponent(name)}`}>{name}</a>,
    value: ({ name }) => name,
  },
  { key: 'status', head: 'f.status', cell: ({ status }) => <Status value={status} />, value: ({ status }) => status },
  {
    key: 'containers',
    head: 'nav.containers',
    cell: ({ containers }) => containers.map(({ service, name }) => service ?? name).join(', '),
    value: ({ containers }) => containers.length,
    drop: 1,
  },
  { key: 'runtime', head: 'f.runtime', cell: ({ runtime }) => runtime, value: ({ runtime }) => runtime, drop: 2 },
  { key: 'node', head: 'f.node', cell: ({ node }) => node, value: ({ node }) => node, drop: 2 },
]

const whenManaged = ({ managed }: Stack) => (managed ? undefined : t('notOurStack'))

const verbs: readonly Verb<Stack>[] = [
  {
    action: 'stacks.config',
    label: 'verb.composeFile',
    params: ({ id }) => ({ id }),
    reason: whenManaged,
    view: ({ id }) => <StackFile id={id} />,
  },
  {
    action: 'stacks.update',
    label: 'verb.change',
    params: ({ id }) => ({ id }),
    reason: whenManaged,
    view: ({ id }, onClose) => <ChangeStack id={id} onClose={onClose} />,
  },
  {
    action: 'stacks.delete',
    label: 'verb.takeDown',
    params: ({ id }) => ({ id }),
    reason: whenManaged,
    fields: () => [{ name: 'volumes', label: 'f.withStackVolumes' }],
    showPlan: showStackPlan,
    isDanger: true,
  },
]

const bringUp: Verb<null> = {
  action: 'stacks.create',
  label: 'bringUpStack',
  params: () => ({}),
  initial: () => ({ runtime: enums.runtime[0], node: 'local' }),
  fields: () => [
    { name: 'name', label: 'f.name', isRequired: true },
    { name: 'runtime', label: 'f.runtime', kind: 'select', options: enums.runtime },
    { name: 'node', label: 'f.node', isRequired: true },
    composeFile,
  ],
  showPlan: showStackPlan,
}

/** The Compose projects of all engines. */
export const Stacks = () => (
  <ListScreen
    title="nav.stacks"
    list="stacks.list"
    item="stacks.get"
    columns={columns}
    idOf={({ id }) => id}
    nameOf={({ name }) => name}
    words={({ id, name, containers }) => [id, name, containers.map((one) => one.name)]}
    facets={[{ field: 'status', label: 'f.status', of: ({ status }) => status }]}
    firstSort="name"
    verbs={verbs}
    create={bringUp}
    empty="noStacks"
    emptyHint="noStacksHint"
  />
)
