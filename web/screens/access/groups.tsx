import type { Group } from '#shared/contracts/access/groups.ts'
import type { Role } from '#shared/contracts/access/roles.ts'
import type { Verb } from '../../forms/verbs.tsx'
import { ListScreen } from '../../lists/list-screen.tsx'
import type { Column } from '../../widgets/column.ts'
import { Tag } from '../../widgets/status.tsx'
import { t } from '../../words/words.ts'

const columns: Column<Group>[] = [
  { key: 'name', head: 'f.name', cell: ({ name }) => name, value: ({ name }) => name },
  { key: 'members', head: 'f.members', cell: ({ members }) => members.join(', ') || '–' },
  { key: 'parents', head: 'f.parents', cell: ({ parents }) => parents.join(', ') || '–', drop: 2 },
  { key: 'description', head: 'f.description', cell: ({ description }) => description, drop: 1 },
]
const fields: NonNullable<Verb<Group>['fields']> = () => [
  { name: 'name', label: 'f.name', isRequired: true },
  { name: 'description', label: 'f.description' },
  { name: 'members', label: 'f.members', hint: 'hint.tags' },
  { name: 'parents', label: 'f.parents', hint: 'hint.parents' },
]
const verbs: readonly Verb<Group>[] = [
  { action: 'groups.replace', label: 'edit', params: ({ id }) => ({ id }), initial: (group) => group, fields },
  {
    action: 'groups.delete',
    label: 'verb.delete',
    params: ({ id }) => ({ id }),
    typed: ({ name }) => name,
    confirm: ({ name }) => t('confirmDeleteGroup', { name }),
    isDanger: true,
  },
]

export const Groups = () => (
  <ListScreen
    title="nav.groups"
    list="groups.list"
    item="groups.get"
    columns={columns}
    idOf={({ id }) => id}
    nameOf={({ name }) => name}
    words={({ id, name, members }) => [id, name, members]}
    firstSort="name"
    verbs={verbs}
    create={{
      action: 'groups.create',
      label: 'createGroup',
      params: () => ({}),
      fields: () => fields(undefined as never),
    }}
    empty="noGroups"
  />
)

const roleColumns: Column<Role>[] = [
  { key: 'name', head: 'f.name', cell: ({ name }) => name, value: ({ name }) => name },
  {
    key: 'privileges',
    head: 'f.privileges',
    cell: ({ privileges }) => (
      <span title={privileges.join(', ')}>
        {privileges.slice(0, 6).map((each) => (
          <Tag key={each} text={each} />
        ))}
        {privileges.length > 6 && '…'}
      </span>
    ),
  },
  { key: 'description', head: 'f.description', cell: ({ description }) => description, drop: 1 },
]
const roleFields: NonNullable<Verb<Role>['fields']> = () => [
  { name: 'description', label: 'f.description' },
  { name: 'privileges', label: 'f.privileges', kind: 'words', hint: 'hint.privileges' },
]
const isBuiltIn = (role: Role) => (role.built_in ? t('isBuiltIn') : undefined)
const roleVerbs: readonly Verb<Role>[] = [
  {
    action: 'roles.replace',
    label: 'edit',
    params: ({ name }) => ({ name }),
    reason: isBuiltIn,
    initial: (role) => role,
    fields: roleFields,
  },
  {
    action: 'roles.delete',
    label: 'verb.delete',
    params: ({ name }) => ({ name }),
    reason: isBuiltIn,
    typed: ({ name }) => name,
    confirm: ({ name }) => t('confirmDelete', { name }),
    isDanger: true,
  },
]

export const Roles = () => (
  <ListScreen
    title="nav.roles"
    list="roles.list"
    columns={roleColumns}
    idOf={({ name }) => name}
    nameOf={({ name }) => name}
    words={({ name, privileges }) => [name, privileges]}
    firstSort="name"
    verbs={roleVerbs}
    create={{
      action: 'roles.create',
      label: 'createRole',
      params: () => ({}),
      fields: () => [{ name: 'name', label: 'f.name', isRequired: true }, ...roleFields(undefined as never)],
    }}
    empty="noRoles"
  />
)
