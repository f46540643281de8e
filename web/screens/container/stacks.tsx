import type { Stack } from '#shared/contracts/container/stacks.ts'
import { ListScreen } from '../../lists/list-screen.tsx'
import type { Column } from '../../widgets/column.ts'
import { Status } from '../../widgets/status.tsx'

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
    verbs={[]}
    empty="noStacks"
    emptyHint="noStacksHint"
  />
)
