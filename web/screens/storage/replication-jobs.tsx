import type { ReplicationJob } from '#shared/contracts/storage/replication-jobs.ts'
import type { Field } from '../../forms/fields.ts'
import type { Verb } from '../../forms/verbs.tsx'
import { nodeColumn, poolColumn } from '../../lists/name-of.tsx'
import { ListScreen } from '../../lists/list-screen.tsx'
import type { Column } from '../../widgets/column.ts'
import { t } from '../../words/words.ts'
import { NextRuns } from '../next-runs.tsx'
import './replication-words.ts'
import { jobColumns } from './job-columns.tsx'
import { selected, selectionFields, zone } from './selection.ts'

const columns: Column<ReplicationJob>[] = [
  { key: 'name', head: 'f.name', cell: ({ name }) => name, value: ({ name }) => name },
  { key: 'selection', head: 'f.replicates', cell: selected, value: selected },
  nodeColumn('f.targetNode'),
  poolColumn(2),
  ...jobColumns('replicated'),
]

const targetFields: Field[] = [
  { name: 'node', label: 'f.targetNode', isRequired: true },
  { name: 'pool', label: 'f.replicaPool', isRequired: true, hint: 'hint.replicaPool' },
]
const fields = (): Field[] => [
  { name: 'name', label: 'f.name', isRequired: true },
  ...selectionFields('f.replicates'),
  { name: 'frequency', label: 'f.frequency', kind: 'json', hint: 'hint.frequency', isNullable: true },
  { name: 'timezone', label: 'f.timezone' },
  { name: 'retention', label: 'f.retention', kind: 'json', hint: 'hint.pointRetention', isNullable: true },
  { name: 'max_age_hours', label: 'f.maxPointAge', hint: 'hint.maxAge', isNullable: true },
  { name: 'bandwidth_mib', label: 'f.bandwidth', isNullable: true },
  { name: 'enabled', label: 'f.enabled' },
]

const verbs: readonly Verb<ReplicationJob>[] = [
  {
    action: 'replication-jobs.execute',
    label: 'verb.runNow',
    params: ({ id }) => ({ id }),
    reason: ({ last_run }) => (last_run?.state === 'running' ? t('jobRuns') : undefined),
  },
  {
    action: 'replication-jobs.update',
    label: 'edit',
    params: ({ id }) => ({ id }),
    initial: (job) => job,
    fields,
    note: ({ id }) => <NextRuns of="replication-jobs.preview" id={id} />,
  },
  {
    action: 'replication-jobs.delete',
    label: 'verb.delete',
    params: ({ id }) => ({ id }),
    confirm: ({ name }) => t('confirmDeleteReplication', { name }),
    isDanger: true,
  },
]

export const ReplicationJobs = () => (
  <ListScreen
    title="nav.replication"
    list="replication-jobs.list"
    item="replication-jobs.get"
    columns={columns}
    idOf={({ id }) => id}
    nameOf={({ name }) => name}
    words={(job) => [job.id, job.name, job.node, job.pool, selected(job)]}
    firstSort="name"
    verbs={verbs}
    create={{
      action: 'replication-jobs.create',
      label: 'createReplication',
      params: () => ({}),
      initial: () => ({
        selection: { kind: 'vm' },
        frequency: 'hourly',
        timezone: zone(),
        retention: { last: 3, daily: 7 },
        enabled: true,
      }),
      fields: () => [...fields().slice(0, 1), ...targetFields, ...fields().slice(1)],
    }}
    empty="noReplications"
    emptyHint="noReplicationsHint"
  />
)
