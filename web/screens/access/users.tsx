import type { User } from '#shared/contracts/access/users.ts'
import type { Verb } from '../../forms/verbs.tsx'
import { ListScreen } from '../../lists/list-screen.tsx'
import type { Column } from '../../widgets/column.ts'
import { Status } from '../../widgets/status.tsx'
import { t } from '../../words/words.ts'

const columns: Column<User>[] = [
  { key: 'username', head: 'f.username', cell: ({ username }) => username, value: ({ username }) => username },
  {
    key: 'full_name',
    head: 'f.fullName',
    cell: ({ full_name }) => full_name ?? '–',
    value: ({ full_name }) => full_name ?? null,
    drop: 2,
  },
  {
    key: 'enabled',
    head: 'f.status',
    cell: ({ enabled }) => <Status value={enabled ? 'enabled' : 'disabled'} />,
    value: ({ enabled }) => Number(enabled),
  },
  { key: 'email', head: 'f.email', cell: ({ email }) => email ?? '–', drop: 1 },
]

const verbs: readonly Verb<User>[] = [
  {
    action: 'users.change',
    label: 'edit',
    params: ({ username }) => ({ username }),
    initial: (user) => user,
    fields: () => [
      { name: 'full_name', label: 'f.fullName' },
      { name: 'email', label: 'f.email' },
      {
        name: 'password',
        label: 'f.newPassword',
        autocomplete: 'new-password',
        hint: 'hint.unchanged',
      },
      { name: 'enabled', label: 'f.enabled' },
    ],
  },
  {
    action: 'users.delete',
    label: 'verb.delete',
    params: ({ username }) => ({ username }),
    typed: ({ username }) => username,
    confirm: ({ username }) => t('confirmDelete', { name: username }),
    isDanger: true,
  },
]

const create: Verb<null> = {
  action: 'users.create',
  label: 'createUser',
  params: () => ({}),
  fields: () => [
    { name: 'username', label: 'f.username', isRequired: true },
    {
      name: 'password',
      label: 'f.password',
      isRequired: true,
      autocomplete: 'new-password',
      hint: 'rule.mixed',
    },
    { name: 'full_name', label: 'f.fullName' },
    { name: 'email', label: 'f.email' },
  ],
}

export const Users = () => (
  <ListScreen
    title="nav.users"
    list="users.list"
    columns={columns}
    idOf={({ username }) => username}
    nameOf={({ username }) => username}
    words={({ username, full_name, email }) => [username, full_name, email]}
    firstSort="username"
    verbs={verbs}
    create={create}
    empty="noUsers"
  />
)
