import type { Migration } from '#shared/contracts/migration/migrations.ts'
import type { Verb } from '../../forms/verbs.tsx'
import { ListScreen } from '../../lists/list-screen.tsx'
import type { Column } from '../../widgets/column.ts'
import { Status } from '../../widgets/status.tsx'
import { ago, bytes, percent, seconds } from '../../words/format.ts'
import { t } from '../../words/words.ts'

const isOver = ({ ended_at }: Migration) => ended_at !== null
const secondsOf = ({ started_at, ended_at }: Migration) =>
  started_at === null ? null : ((ended_at ? Date.parse(ended_at) : Date.now()) - Date.parse(started_at)) / 1000

/** Progress of a migration that runs, with what is left of the guest's memory; of another one, its error and rollback. */
function Progress({ of }: { of: Migration }) {
  const { progress_percent, statistics, error, health, rollback } = of
  if (isOver(of))
    return (
      <>
        {error && <div>{error}</div>}
        {health && health.consequence !== 'none' && (
          <div>
            {t('failedChecks')}:{' '}
            {health.checks
              .filter(({ status }) => status === 'failed' || status === 'timeout')
              .map(({ name, reason }) => `${name.replaceAll('_', ' ')} (${reason ?? ''})`)
              .join(', ')}
          </div>
        )}
        {rollback && (
          <details>
            <summary>
              {t('rollback')}:{' '}
              {t('rollbackSteps', {
                done: rollback.steps.filter(({ state }) => state === 'done').length,
                all: rollback.steps.length,
              })}
            </summary>
            <ul>
              {rollback.steps.map(({ name, state, error: why }) => (
                <li key={name}>
                  {name.replaceAll('_', ' ')}: {state} {why}
                </li>
              ))}
            </ul>
          </details>
        )}
      </>
    )
  return (
    <>
      <progress max={100} value={progress_percent} aria-label={t('f.progress')} /> {percent(progress_percent)}
      {statistics && (
        <div class="dim">
          {t('f.remaining')} {bytes(statistics.ram_remaining_bytes)}
          {statistics.dirty_bytes_per_second !== null &&
            `, ${t('f.dirtyRate')} ${t('perSecond', { size: bytes(statistics.dirty_bytes_per_second) })}`}
        </div>
      )}
    </>
  )
}

const columns: Column<Migration>[] = [
  {
    key: 'vm_name',
    head: 'nav.vms',
    cell: ({ vm_id, vm_name }) => <a href={`/vms/${vm_id}/move`}>{vm_name}</a>,
    value: ({ vm_name }) => vm_name,
  },
  {
    key: 'created_at',
    head: 'f.time',
    cell: ({ created_at }) => <time dateTime={created_at}>{ago(created_at)}</time>,
    value: ({ created_at }) => created_at,
  },
  {
    key: 'source_node',
    head: 'f.sourceNode',
    cell: ({ source_node }) => source_node,
    value: ({ source_node }) => source_node,
  },
  {
    key: 'target_node',
    head: 'f.targetNode',
    cell: ({ target_node }) => target_node,
    value: ({ target_node }) => target_node,
  },
  { key: 'migration_type', head: 'f.migrationType', cell: ({ migration_type }) => migration_type, drop: 1 },
  {
    key: 'status',
    head: 'f.status',
    cell: ({ status }) => <Status value={status} />,
    value: ({ status }) => status,
  },
  { key: 'progress', head: 'f.progress', cell: (migration) => <Progress of={migration} /> },
  {
    key: 'duration',
    head: 'f.duration',
    cell: (migration) => seconds(secondsOf(migration)),
    value: secondsOf,
    isNumeric: true,
    drop: 1,
  },
  {
    key: 'downtime',
    head: 'f.downtime',
    cell: ({ statistics, pause }) => (
      <>
        {statistics?.downtime_ms == null ? '–' : `${statistics.downtime_ms} ms`}
        {pause?.is_exceeded && <div class="note">{t('pauseExceeded', { time: `${pause.allowed_ms} ms` })}</div>}
      </>
    ),
    isNumeric: true,
    drop: 2,
  },
]

const verbs: readonly Verb<Migration>[] = [
  {
    action: 'migrations.cancel',
    label: 'verb.cancel',
    params: ({ id }) => ({ id }),
    reason: (migration) => (isOver(migration) ? t('isMigrationOver') : undefined),
  },
  {
    action: 'migrations.rollback',
    label: 'verb.rollBack',
    params: ({ id }) => ({ id }),
    reason: ({ rollback }) =>
      rollback?.state === 'waiting' || rollback?.state === 'incomplete' ? undefined : t('nothingToRollBack'),
  },
]

/** The migrations of one virtual machine, as a part of its page; without one, of all as a page. */
export const Migrations = ({ vm }: { vm?: string | undefined }) => (
  <ListScreen
    title="nav.migrations"
    list="migrations.list"
    item="migrations.get"
    params={vm === undefined ? {} : { filter: `vm_id:${vm}` }}
    columns={vm === undefined ? columns : columns.slice(1)}
    idOf={({ id }) => id}
    nameOf={({ vm_name }) => vm_name}
    words={({ id, vm_id, vm_name, source_node, target_node, error }) => [
      id,
      vm_id,
      vm_name,
      source_node,
      target_node,
      error,
    ]}
    facets={[
      { field: 'status', label: 'f.status', of: ({ status }) => status },
      { field: 'source_node', label: 'f.sourceNode', of: ({ source_node }) => source_node },
      { field: 'target_node', label: 'f.targetNode', of: ({ target_node }) => target_node },
    ]}
    firstSort="-created_at"
    verbs={verbs}
    empty="noMigrations"
    emptyHint="noMigrationsHint"
    isPart={vm !== undefined}
  />
)

export const MigrationsPage = () => <Migrations />
