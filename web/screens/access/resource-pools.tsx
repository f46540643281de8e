import type { ResourcePool } from '#shared/contracts/access/resource-pools.ts'
import type { Verb } from '../../forms/verbs.tsx'
import { ListScreen } from '../../lists/list-screen.tsx'
import type { Column } from '../../widgets/column.ts'
import { bytes, mib } from '../../words/format.ts'
import { t } from '../../words/words.ts'

const of = (used: string | number, limit: string | number | null) =>
  limit === null ? String(used) : t('usedOf', { used, all: limit })

const columns: Column<ResourcePool>[] = [
  { key: 'name', head: 'f.name', cell: ({ name }) => name, value: ({ name }) => name },
  {
    key: 'members',
    head: 'f.members',
    cell: ({ members }) => (
      <span title={members.map(({ kind, id }) => `${kind} ${id}`).join(', ')}>{members.length}</span>
    ),
    value: ({ members }) => members.length,
    isNumeric: true,
  },
  { key: 'cpus', head: 'f.cpus', cell: ({ used, limits }) => of(used.cpus, limits.cpus), isNumeric: true, drop: 2 },
  {
    key: 'memory',
    head: 'f.memory',
    cell: ({ used, limits }) => of(mib(used.memory), limits.memory === null ? null : mib(limits.memory)),
    isNumeric: true,
    drop: 2,
  },
  {
    key: 'disk',
    head: 'disks',
    cell: ({ used, limits }) => of(bytes(used.disk), limits.disk === null ? null : bytes(limits.disk)),
    isNumeric: true,
    drop: 1,
  },
]
const fields: NonNullable<Verb<ResourcePool>['fields']> = () => [
  { name: 'name', label: 'f.name', isRequired: true },
  { name: 'description', label: 'f.description' },
  { name: 'limits.cpus', label: 'f.cpus', isNullable: true, hint: 'hint.noLimit' },
  { name: 'limits.memory', label: 'f.memory', isNullable: true, hint: 'hint.noLimit' },
  { name: 'limits.disk', label: 'disks', isNullable: true, hint: 'hint.noLimit' },
  { name: 'limits.instances', label: 'f.instances', isNullable: true, hint: 'hint.noLimit' },
]
const memberFields: NonNullable<Verb<ResourcePool>['fields']> = () => [
  { name: 'kind', label: 'f.kind', kind: 'select', options: ['vm', 'container', 'storage', 'network'] },
  { name: 'member', label: 'f.id', isRequired: true },
]
const verbs: readonly Verb<ResourcePool>[] = [
  {
    action: 'resource-pools.putMember',
    label: 'verb.addMember',
    params: ({ id }) => ({ id }),
    initial: () => ({ kind: 'vm' }),
    fields: memberFields,
  },
  {
    action: 'resource-pools.removeMember',
    label: 'verb.removeMember',
    params: ({ id }) => ({ id }),
    initial: ({ members }) => ({ kind: members[0]?.kind, member: members[0]?.id }),
    reason: ({ members }) => (members.length > 0 ? undefined : t('noMembers')),
    fields: memberFields,
  },
  {
    action: 'resource-pools.replace',
    label: 'edit',
    params: ({ id, labels }) => ({ id, labels }),
    initial: (pool) => pool,
    fields,
  },
  {
    action: 'resource-pools.delete',
    label: 'verb.delete',
    params: ({ id }) => ({ id }),
    typed: ({ name }) => name,
    confirm: ({ name }) => t('confirmDelete', { name }),
    isDanger: true,
  },
]

export const ResourcePools = () => (
  <ListScreen
    title="nav.resourcePools"
    list="resource-pools.list"
    item="resource-pools.get"
    columns={columns}
    idOf={({ id }) => id}
    nameOf={({ name }) => name}
    words={({ id, name, members }) => [id, name, members.map((each) => each.id)]}
    firstSort="name"
    verbs={verbs}
    create={{
      action: 'resource-pools.create',
      label: 'createResourcePool',
      params: () => ({}),
      fields: () => fields(undefined as never),
    }}
    empty="noResourcePools"
    emptyHint="noResourcePoolsHint"
  />
)
