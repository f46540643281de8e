import type { Schedule } from '#shared/contracts/vm/snapshot-schedules.ts'
import type { Field } from '../forms/fields.ts'
import type { Verb } from '../forms/verbs.tsx'
import { ListScreen } from '../lists/list-screen.tsx'
import type { Column } from '../widgets/column.ts'
import { Status } from '../widgets/status.tsx'
import { t } from '../words/words.ts'
import { NextRuns } from './next-runs.tsx'

const shown = (frequency: Schedule['frequency']) =>
  typeof frequency === 'string' ? frequency : JSON.stringify(frequency).replaceAll(/[{}"]/g, '')

const columns: Column<Schedule>[] = [
  { key: 'name', head: 'f.name', cell: ({ name }) => name, value: ({ name }) => name },
  {
    key: 'vm_id',
    head: 'vm',
    cell: ({ vm_id }) => <a href={`/vms/${vm_id}/snapshots`}>{vm_id}</a>,
    value: ({ vm_id }) => vm_id,
  },
  { key: 'frequency', head: 'f.frequency', cell: ({ frequency }) => shown(frequency), drop: 2 },
  {
    key: 'enabled',
    head: 'f.status',
    cell: ({ enabled, last_error }) => (
      <Status value={last_error ? 'failed' : enabled ? 'enabled' : 'disabled'} reason={last_error ?? null} />
    ),
  },
  { key: 'kept', head: 'f.kept', cell: ({ retention_count }) => retention_count, isNumeric: true, drop: 1 },
]
const fields: Field[] = [
  { name: 'name', label: 'f.name', isRequired: true },
  { name: 'frequency', label: 'f.frequency', kind: 'json', isRequired: true, hint: 'hint.frequency' },
  { name: 'timezone', label: 'f.timezone' },
  { name: 'retention_count', label: 'f.kept', isRequired: true },
  { name: 'include_memory', label: 'f.includeMemory' },
  { name: 'enabled', label: 'f.enabled' },
]
const zone = () => Intl.DateTimeFormat().resolvedOptions().timeZone

const verbs: readonly Verb<Schedule>[] = [
  {
    action: 'snapshot-schedules.update',
    label: 'edit',
    params: ({ id }) => ({ id }),
    initial: (schedule) => schedule,
    fields: () => fields,
    note: ({ id }) => <NextRuns of="snapshot-schedules.preview" id={id} />,
  },
  {
    action: 'snapshot-schedules.delete',
    label: 'verb.delete',
    params: ({ id }) => ({ id }),
    confirm: ({ name }) => t('confirmDeleteSchedule', { name }),
    isDanger: true,
  },
]

export const Schedules = () => (
  <ListScreen
    title="nav.schedules"
    list="snapshot-schedules.list"
    item="snapshot-schedules.get"
    columns={columns}
    idOf={({ id }) => id}
    nameOf={({ name }) => name}
    words={({ name, vm_id }) => [name, vm_id]}
    firstSort="name"
    verbs={verbs}
    create={{
      action: 'snapshot-schedules.create',
      label: 'createSchedule',
      params: () => ({}),
      initial: () => ({ frequency: { daily: { hour: 4 } }, timezone: zone(), retention_count: 7, enabled: true }),
      fields: () => [{ name: 'vm_id', label: 'f.vmId', isRequired: true }, ...fields],
    }}
    empty="noSchedules"
    emptyHint="noSchedulesHint"
  />
)
