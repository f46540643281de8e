import type { Container } from '#shared/contracts/container/containers.ts'
import { ListScreen } from '../../lists/list-screen.tsx'
import type { Column } from '../../widgets/column.ts'
import { Status } from '../../widgets/status.tsx'
import { mib } from '../../words/format.ts'
import { containerVerbs, createContainer } from './verbs.tsx'

const columns: Column<Container>[] = [
  {
    key: 'name',
    head: 'f.name',
    cell: ({ id, name }) => <a href={`/containers/${id}`}>{name}</a>,
    value: ({ name }) => name,
  },
  {
    key: 'status',
    head: 'f.status',
    cell: ({ status, status_reason }) => <Status value={status} reason={status_reason} />,
    value: ({ status }) => status,
  },
  {
    key: 'image',
    head: 'f.containerImage',
    cell: ({ image, rootfs }) => image ?? rootfs,
    value: ({ image }) => image,
    drop: 2,
  },
  { key: 'runtime', head: 'f.runtime', cell: ({ runtime }) => runtime, value: ({ runtime }) => runtime, drop: 2 },
  { key: 'ip', head: 'f.addresses', cell: ({ ip }) => ip ?? '–', drop: 1 },
  {
    key: 'memory',
    head: 'f.memory',
    cell: ({ memory }) => mib(memory),
    value: ({ memory }) => memory,
    isNumeric: true,
    drop: 1,
  },
  { key: 'node', head: 'f.node', cell: ({ node }) => node, value: ({ node }) => node, drop: 1 },
]
const inBulk = new Set(['start', 'stop', 'restart', 'pause', 'resume'].map((verb) => `containers.${verb}`))

export const Containers = () => (
  <ListScreen
    title="nav.containers"
    list="containers.list"
    item="containers.get"
    columns={columns}
    idOf={({ id }) => id}
    nameOf={({ name }) => name}
    words={({ id, name, image, ip }) => [id, name, image, ip]}
    facets={[
      { field: 'status', label: 'f.status', of: ({ status }) => status },
      { field: 'runtime', label: 'f.runtime', of: ({ runtime }) => runtime },
      { field: 'stack', label: 'f.stack', of: ({ stack }) => stack ?? '' },
    ]}
    firstSort="name"
    isPaged
    verbs={containerVerbs}
    bulk={{ run: 'container-bulk.run', verbs: containerVerbs.filter(({ action }) => inBulk.has(action)) }}
    create={createContainer}
    empty="noContainers"
    emptyHint="noContainersHint"
  />
)
