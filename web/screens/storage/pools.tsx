import { poolKinds } from 'virtual:forms'
import type { Pool } from '#shared/contracts/storage/pools.ts'
import type { Verb } from '../../forms/verbs.tsx'
import type { Field } from '../../forms/fields.ts'
import { ListScreen } from '../../lists/list-screen.tsx'
import type { Column } from '../../widgets/column.ts'
import { Meter, Status } from '../../widgets/status.tsx'
import { bytes } from '../../words/format.ts'
import { t } from '../../words/words.ts'
import { Orphans } from './orphans.tsx'
import './words.ts'

const used = ({ capacity_bytes, available_bytes }: Pool) =>
  capacity_bytes === null || available_bytes === null ? null : capacity_bytes - available_bytes

const columns: Column<Pool>[] = [
  {
    key: 'name',
    head: 'f.name',
    cell: ({ id, name }) => <a href={`/storage/${id}`}>{name}</a>,
    value: ({ name }) => name,
  },
  {
    key: 'health',
    head: 'f.health',
    cell: (pool) => <Status value={pool.state === 'active' ? pool.health : pool.state} reason={pool.health_reason} />,
    value: ({ health }) => health,
  },
  { key: 'type', head: 'f.kind', cell: ({ type }) => type, value: ({ type }) => type },
  {
    key: 'used',
    head: 'f.used',
    cell: (pool) =>
      pool.capacity_bytes !== null && (
        <Meter
          part={used(pool) ?? 0}
          whole={pool.capacity_bytes}
          label={`${t('f.used')} ${pool.name}`}
          text={t('usedOf', { used: bytes(used(pool)), all: bytes(pool.capacity_bytes) })}
        />
      ),
    value: used,
    drop: 2,
  },
  { key: 'nodes', head: 'nav.nodes', cell: ({ nodes }) => nodes?.join(', ') ?? t('allNodes'), drop: 1 },
]

export const poolVerbs: readonly Verb<Pool>[] = [
  { action: 'volumes.scan', label: 'verb.scan', params: ({ id }) => ({ id }), confirm: () => t('confirmScan') },
  {
    action: 'pools.orphans',
    label: 'verb.orphans',
    params: ({ id }) => ({ id }),
    reason: ({ state }) => (state === 'active' ? undefined : t('isInactive')),
    view: (pool, onClose) => <Orphans pool={pool} onClose={onClose} />,
  },
  {
    action: 'pools.activate',
    label: 'verb.activate',
    params: ({ id }) => ({ id }),
    reason: ({ state, health }) => (state === 'active' && health !== 'missing' ? t('isActive') : undefined),
  },
  {
    action: 'pools.deactivate',
    label: 'verb.deactivate',
    params: ({ id }) => ({ id }),
    reason: ({ state }) => (state === 'active' ? undefined : t('isInactive')),
    confirm: () => t('confirmDeactivate'),
  },
  {
    action: 'pools.delete',
    label: 'verb.delete',
    params: ({ id }) => ({ id }),
    isDanger: true,
    typed: ({ id }) => id,
    confirm: ({ name }) => t('confirmDeletePool', { name }),
  },
]

/** The description of a field, with its example if it has none. */
function hintOf(description = '', example?: string): string | undefined {
  const such = example === undefined || /such as/i.test(description) ? '' : t('suchAs', { example })
  return [description, such].filter(Boolean).join('. ') || undefined
}

/** The fields of all kinds; those of the chosen one are shown. Each kind brings its own from the contracts. */
const kindFields = () =>
  Object.entries(poolKinds).flatMap(([kind, fields]) =>
    fields.map(({ name, kind: input, description, example }): Field => ({
      name: `${kind}:${name}`,
      label: 'f.path',
      text: name.replaceAll('_', ' '),
      hintText: hintOf(description, example),
      kind: input,
      when: (raw) => raw['type'] === kind,
    })),
  )
const initials = Object.entries(poolKinds).flatMap(([kind, fields]) =>
  fields.flatMap(({ name, initial }) => (initial === undefined ? [] : [[`${kind}:${name}`, initial]])),
)

/** Parameters without the kind before the names of its fields. */
const withoutKind = (params: Record<string, unknown>) =>
  Object.fromEntries(
    Object.entries(params)
      .filter(([, value]) => !(Array.isArray(value) && value.length === 0))
      .map(([name, value]) => [name.split(':').at(-1), value]),
  )

const createPool: Verb<null> = {
  action: 'pools.create',
  label: 'createPool',
  params: () => ({}),
  initial: () => ({ type: Object.keys(poolKinds)[0], ...Object.fromEntries(initials) }),
  fields: () => [
    { name: 'type', label: 'f.kind', kind: 'select', options: Object.keys(poolKinds) },
    { name: 'id', label: 'f.id', hint: 'hint.id', isRequired: true },
    ...kindFields(),
  ],
  prepare: withoutKind,
}

export const Pools = () => (
  <ListScreen
    title="nav.storage"
    list="pools.list"
    item="pools.get"
    columns={columns}
    idOf={({ id }) => id}
    nameOf={({ name }) => name}
    words={({ id, name, type }) => [id, name, type]}
    facets={[
      { field: 'type', label: 'f.kind', of: ({ type }) => type },
      { field: 'health', label: 'f.health', of: ({ health }) => health },
    ]}
    firstSort="name"
    verbs={poolVerbs}
    create={createPool}
    empty="noPools"
    emptyHint="noPoolsHint"
  />
)
