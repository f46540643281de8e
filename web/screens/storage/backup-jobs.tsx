import type { BackupJob } from '#shared/contracts/storage/backup-jobs.ts'
import type { Field } from '../../forms/fields.ts'
import type { Verb } from '../../forms/verbs.tsx'
import { poolColumn } from '../../lists/name-of.tsx'
import { ListScreen } from '../../lists/list-screen.tsx'
import type { Column } from '../../widgets/column.ts'
import { t } from '../../words/words.ts'
import { NextRuns } from '../next-runs.tsx'
import { jobColumns } from './job-columns.tsx'
import { selected, selectionFields, zone } from './selection.ts'
import './backup-words.ts'

const columns: Column<BackupJob>[] = [
  { key: 'name', head: 'f.name', cell: ({ name }) => name, value: ({ name }) => name },
  { key: 'selection', head: 'f.selection', cell: selected, value: selected },
  poolColumn(1),
  ...jobColumns('backedUp'),
]

/** Names of parameters, the same in every language. */
const proofFields = 'data_days, boot: {every_hours, check}, max_data_age_hours, max_boot_age_hours'

const fields = (): Field[] => [
  { name: 'name', label: 'f.name', isRequired: true },
  ...selectionFields('f.selection', true),
  { name: 'pool', label: 'f.pool', isRequired: true, hint: 'hint.backupPool' },
  { name: 'frequency', label: 'f.frequency', kind: 'json', hint: 'hint.frequency', isNullable: true },
  { name: 'timezone', label: 'f.timezone' },
  { name: 'retention', label: 'f.retention', kind: 'json', hint: 'hint.retention', isNullable: true },
  { name: 'max_age_hours', label: 'f.maxAge', hint: 'hint.maxAge', isNullable: true },
  { name: 'proof', label: 'f.jobProof', kind: 'json', hintText: proofFields, isNullable: true },
  { name: 'per_node', label: 'f.perNode' },
  { name: 'bandwidth_mib', label: 'f.bandwidth', isNullable: true },
  { name: 'enabled', label: 'f.enabled' },
]
const isRunning = ({ last_run }: BackupJob) => last_run?.state === 'running'

const verbs: readonly Verb<BackupJob>[] = [
  {
    action: 'backup-jobs.run',
    label: 'verb.runNow',
    params: ({ id }) => ({ id }),
    reason: (job) => (isRunning(job) ? t('jobRuns') : undefined),
  },
  {
    action: 'backup-jobs.stop',
    label: 'verb.stopRun',
    params: ({ id }) => ({ id }),
    reason: (job) => (isRunning(job) ? undefined : t('jobRunsNot')),
    confirm: () => t('confirmStopRun'),
  },
  {
    action: 'backup-jobs.update',
    label: 'edit',
    params: ({ id }) => ({ id }),
    initial: (job) => job,
    fields,
    note: ({ id }) => <NextRuns of="backup-jobs.preview" id={id} />,
  },
  {
    action: 'backup-jobs.delete',
    label: 'verb.delete',
    params: ({ id }) => ({ id }),
    confirm: ({ name }) => t('confirmDeleteJob', { name }),
    isDanger: true,
  },
]

export const BackupJobs = () => (
  <ListScreen
    title="nav.backupJobs"
    list="backup-jobs.list"
    item="backup-jobs.get"
    columns={columns}
    idOf={({ id }) => id}
    nameOf={({ name }) => name}
    words={(job) => [job.id, job.name, job.pool, selected(job)]}
    firstSort="name"
    verbs={verbs}
    create={{
      action: 'backup-jobs.create',
      label: 'createJob',
      params: () => ({}),
      initial: () => ({
        selection: { kind: 'vm' },
        frequency: { daily: { hour: 2 } },
        timezone: zone(),
        retention: { last: 3, daily: 7, weekly: 4 },
        per_node: 1,
        enabled: true,
      }),
      fields,
    }}
    empty="noJobs"
    emptyHint="noJobsHint"
  />
)
