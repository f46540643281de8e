import type { Backup } from '#shared/contracts/storage/backups.ts'
import type { Verb } from '../../forms/verbs.tsx'
import { poolColumn } from '../../lists/name-of.tsx'
import { ListScreen } from '../../lists/list-screen.tsx'
import type { Column } from '../../widgets/column.ts'
import { Status } from '../../widgets/status.tsx'
import { ago, bytes } from '../../words/format.ts'
import { t } from '../../words/words.ts'
import { BackupFiles } from '../storage/backup-files.tsx'
import { containerRestores, unready } from '../storage/container-restore.tsx'
import { bootCheckFields, proofOf } from '../storage/boot-check.ts'
import '../storage/backup-words.ts'

/** The name of the virtual machine or container. */
const nameOf = ({ vm_name, container_name }: Backup): string => vm_name ?? container_name ?? ''
const ofVm = ({ kind }: Backup) => kind === 'vm'

const columns: Column<Backup>[] = [
  {
    key: 'vm_name,container_name',
    head: 'f.backupOf',
    cell: (backup) => (
      <a href={backup.kind === 'vm' ? `/vms/${backup.vm_id}` : `/containers/${backup.container_id}`}>
        {nameOf(backup)}
      </a>
    ),
    value: nameOf,
  },
  {
    key: 'taken_at',
    head: 'f.takenAt',
    cell: ({ taken_at }) => ago(taken_at),
    value: ({ taken_at }) => taken_at,
  },
  { key: 'state', head: 'f.status', cell: ({ state }) => <Status value={state} />, value: ({ state }) => state },
  {
    key: 'data_bytes',
    head: 'f.size',
    cell: ({ data_bytes }) => bytes(data_bytes),
    value: ({ data_bytes }) => data_bytes,
    isNumeric: true,
    drop: 2,
  },
  {
    key: 'stored_bytes',
    head: 'f.storedBytes',
    cell: ({ stored_bytes }) => bytes(stored_bytes),
    value: ({ stored_bytes }) => stored_bytes,
    isNumeric: true,
    drop: 1,
  },
  { key: 'proof', head: 'f.verified', cell: ({ data, structure }) => proofOf(data ?? structure), drop: 1 },
  { key: 'boot', head: 'f.booted', cell: ({ boot }) => proofOf(boot), drop: 1 },
  poolColumn(2),
  { key: 'description', head: 'f.description', cell: ({ description }) => description, drop: 1 },
]

/** The fields of a row and of its actions; the disks of a backup are most of the record. */
const listFields =
  'id,kind,vm_id,vm_name,container_id,container_name,container,pool,description,state,taken_at,data_bytes,stored_bytes,structure,data,boot,protected'

const verbs: readonly Verb<Backup>[] = [
  {
    action: 'backups.restore',
    label: 'verb.restoreNew',
    params: ({ id }) => ({ id, to: 'new' }),
    fits: ofVm,
    reason: unready,
    initial: ({ vm_name }) => ({ name: `${vm_name}-restored` }),
    fields: () => [
      { name: 'name', label: 'f.name', isRequired: true },
      { name: 'node', label: 'f.node' },
      { name: 'pool', label: 'f.pool' },
      { name: 'keep_macs', label: 'f.keepMacs' },
      { name: 'start', label: 'f.startAfter' },
    ],
  },
  {
    action: 'backups.restore',
    label: 'verb.restoreSame',
    params: ({ id }) => ({ id, to: 'same' }),
    fits: ofVm,
    reason: unready,
    typed: nameOf,
    confirm: (backup) => t('confirmRestoreSame', { name: nameOf(backup) }),
    isDanger: true,
  },
  ...containerRestores,
  {
    action: 'backup-files.volumes',
    label: 'verb.browseFiles',
    params: ({ id }) => ({ id }),
    reason: unready,
    view: (backup, onClose) => <BackupFiles backup={backup} onClose={onClose} />,
  },
  {
    action: 'backups.verify',
    label: 'verb.verify',
    params: ({ id }) => ({ id }),
    reason: unready,
    fields: () => [{ name: 'level', label: 'f.level', kind: 'select', options: ['data', 'structure'] }],
  },
  {
    action: 'backups.prove',
    label: 'verb.prove',
    params: ({ id }) => ({ id }),
    fits: ofVm,
    reason: unready,
    initial: () => ({ check: { kind: 'agent' } }),
    fields: () => [...bootCheckFields(), { name: 'node', label: 'f.node' }, { name: 'pool', label: 'f.pool' }],
  },
  {
    action: 'backups.update',
    label: 'verb.protect',
    params: ({ id }) => ({ id, protected: true }),
    reason: (backup) => (backup.protected ? t('isProtected') : undefined),
  },
  {
    action: 'backups.update',
    label: 'verb.unprotect',
    params: ({ id }) => ({ id, protected: false }),
    reason: (backup) => (backup.protected ? undefined : t('isNotProtected')),
  },
  {
    action: 'backups.delete',
    label: 'verb.delete',
    params: ({ id }) => ({ id }),
    reason: (backup) => (backup.protected ? t('isProtected') : undefined),
    confirm: (backup) => t('confirmDelete', { name: nameOf(backup) }),
    isDanger: true,
  },
]

const create: Verb<null> = {
  action: 'backups.create',
  label: 'createBackup',
  params: () => ({}),
  fields: () => [
    { name: 'vm_id', label: 'f.vmId', isRequired: true },
    { name: 'pool', label: 'f.pool', isRequired: true, hint: 'hint.backupPool' },
    { name: 'description', label: 'f.description' },
    { name: 'protected', label: 'f.protected' },
  ],
}

export const Backups = () => (
  <ListScreen
    title="nav.backups"
    list="backups.list"
    params={{ fields: listFields }}
    item="backups.get"
    columns={columns}
    idOf={({ id }) => id}
    nameOf={nameOf}
    words={(backup) => [backup.id, backup.vm_id ?? backup.container_id ?? '', nameOf(backup), backup.description]}
    facets={[
      { field: 'kind', label: 'f.backupOf', of: ({ kind }) => kind },
      { field: 'pool', label: 'f.pool', of: ({ pool }) => pool },
    ]}
    firstSort="-taken_at"
    isPaged
    verbs={verbs}
    create={create}
    empty="noBackups"
    emptyHint="noBackupsHint"
  />
)
