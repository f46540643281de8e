import { enums } from 'virtual:forms'
import type { Image } from '#shared/contracts/container/images.ts'
import type { Verb } from '../../forms/verbs.tsx'
import { ListScreen } from '../../lists/list-screen.tsx'
import type { Column } from '../../widgets/column.ts'
import { ago, bytes } from '../../words/format.ts'
import { t } from '../../words/words.ts'

const nameOf = ({ name }: Image) => name

const columns: Column<Image>[] = [
  { key: 'name', head: 'f.name', cell: ({ tags, name }) => tags.join(', ') || name, value: nameOf },
  {
    key: 'size_bytes',
    head: 'f.size',
    cell: ({ size_bytes }) => bytes(size_bytes),
    value: ({ size_bytes }) => size_bytes,
    isNumeric: true,
  },
  {
    key: 'users',
    head: 'nav.containers',
    cell: ({ users }) => users,
    value: ({ users }) => users,
    isNumeric: true,
    drop: 2,
  },
  {
    key: 'created_at',
    head: 'f.createdAt',
    cell: ({ created_at }) => ago(created_at),
    value: ({ created_at }) => created_at,
    drop: 1,
  },
  { key: 'runtime', head: 'f.runtime', cell: ({ runtime }) => runtime, value: ({ runtime }) => runtime, drop: 2 },
  { key: 'node', head: 'f.node', cell: ({ node }) => node, value: ({ node }) => node, drop: 1 },
]

const verbs: readonly Verb<Image>[] = [
  {
    action: 'images.delete',
    label: 'verb.delete',
    params: ({ id }) => ({ id }),
    reason: ({ users }) => (users > 0 ? t('imageIsUsed') : undefined),
    confirm: (image) => t('confirmDelete', { name: nameOf(image) }),
    isDanger: true,
  },
]

const pull: Verb<null> = {
  action: 'images.pull',
  label: 'pullImage',
  params: () => ({}),
  initial: () => ({ node: 'local', runtime: 'docker' }),
  fields: () => [
    { name: 'image', label: 'f.containerImage', hint: 'hint.pullImage', isRequired: true },
    { name: 'runtime', label: 'f.runtime', kind: 'select', options: enums.runtime },
    { name: 'node', label: 'f.node', isRequired: true },
    { name: 'username', label: 'f.username', hint: 'hint.registryUser' },
    { name: 'password', label: 'f.password', autocomplete: 'new-password' },
    { name: 'server', label: 'f.imageServer', hint: 'hint.imageServer' },
    { name: 'certificate', label: 'f.certificate', hint: 'hint.certificate' },
  ],
}

export const Images = () => (
  <ListScreen
    title="nav.images"
    list="images.list"
    item="images.get"
    columns={columns}
    idOf={({ id }) => id}
    nameOf={nameOf}
    words={({ id, tags, engine_id }) => [id, tags, engine_id]}
    facets={[
      { field: 'runtime', label: 'f.runtime', of: ({ runtime }) => runtime },
      { field: 'node', label: 'f.node', of: ({ node }) => node },
    ]}
    firstSort="name"
    isPaged
    verbs={verbs}
    create={pull}
    empty="noImages"
    emptyHint="noImagesHint"
  />
)
