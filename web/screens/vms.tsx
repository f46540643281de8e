import type { Vm } from '#shared/contracts/vm/vms.ts'
import { ListScreen } from '../lists/list-screen.tsx'
import { Status, Tag } from '../widgets/status.tsx'
import type { Column } from '../widgets/column.ts'
import { mib } from '../words/format.ts'
import { vmVerbs } from './vm/verbs.tsx'

/** The fields of a row: a tenth of the whole record. */
export const vmListFields =
  'id,name,status,status_reason,node,cpus,memory,tags,template,protected,pending_restart,hypervisor'

const columns: Column<Vm>[] = [
  { key: 'name', head: 'f.name', cell: (vm) => <a href={`/vms/${vm.id}`}>{vm.name}</a>, value: ({ name }) => name },
  {
    key: 'status',
    head: 'f.status',
    cell: (vm) => <Status value={vm.template ? 'template' : vm.status} reason={vm.status_reason} />,
    value: ({ status, template }) => (template ? 'template' : status),
  },
  { key: 'cpus', head: 'f.cpus', cell: ({ cpus }) => cpus, value: ({ cpus }) => cpus, isNumeric: true, drop: 2 },
  {
    key: 'memory',
    head: 'f.memory',
    cell: ({ memory }) => mib(memory),
    value: ({ memory }) => memory,
    isNumeric: true,
    drop: 2,
  },
  { key: 'node', head: 'f.node', cell: ({ node }) => node, value: ({ node }) => node, drop: 2 },
  { key: 'tags', head: 'f.tags', cell: ({ tags }) => tags.map((tag) => <Tag key={tag} text={tag} />), drop: 1 },
]

const inBulk = new Set(['start', 'shutdown', 'restart', 'pause', 'resume', 'stop'].map((verb) => `vms.${verb}`))

export function Vms() {
  return (
    <ListScreen
      title="nav.vms"
      list="vms.list"
      params={{ fields: vmListFields }}
      item="vms.get"
      columns={columns}
      idOf={({ id }) => id}
      nameOf={({ name }) => name}
      words={({ name, id, tags }) => [name, id, tags]}
      facets={[
        { field: 'status', label: 'f.status', of: ({ status }) => status },
        { field: 'node', label: 'f.node', of: ({ node }) => node },
        { field: 'tags', label: 'f.tags', of: ({ tags }) => tags },
      ]}
      firstSort="name"
      isPaged
      verbs={vmVerbs}
      bulk={{ run: 'vm-bulk.run', verbs: vmVerbs.filter(({ action }) => inBulk.has(action)) }}
      create={{ label: 'createVm', href: '/vms/new', action: 'vms.create' }}
      empty="noVms"
      emptyHint="noVmsHint"
    />
  )
}
