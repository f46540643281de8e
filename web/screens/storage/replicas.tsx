import type { Replica } from '#shared/contracts/storage/replicas.ts'
import type { Verb } from '../../forms/verbs.tsx'
import { nodeColumn, poolColumn } from '../../lists/name-of.tsx'
import { ListScreen } from '../../lists/list-screen.tsx'
import type { Column } from '../../widgets/column.ts'
import { Status } from '../../widgets/status.tsx'
import { ago, bytes, time } from '../../words/format.ts'
import { t } from '../../words/words.ts'
import { bootCheckFields, proofOf } from './boot-check.ts'
import './replication-words.ts'

const newestOf = ({ points }: Replica) => points.at(-1)

function State({ state, error, failover }: Replica) {
  return (
    <>
      <Status value={state} reason={error} />
      {failover && <div class="dim">{t('tookOver', { name: failover.vm_id })}</div>}
    </>
  )
}

function LastSent(replica: Replica) {
  const point = newestOf(replica)
  if (!point) return <>–</>
  return (
    <>
      {bytes(point.sent_bytes)}
      {point.was_written && <div class="dim">{`⚠ ${t('wasWritten')}`}</div>}
    </>
  )
}

const columns: Column<Replica>[] = [
  { key: 'vm_name', head: 'nav.vms', cell: ({ vm_name }) => vm_name, value: ({ vm_name }) => vm_name },
  { key: 'state', head: 'f.status', cell: (replica) => <State {...replica} />, value: ({ state }) => state },
  {
    key: 'taken_at',
    head: 'f.takenAt',
    cell: (replica) => ago(newestOf(replica)?.taken_at ?? null),
    value: (replica) => newestOf(replica)?.taken_at ?? null,
  },
  {
    key: 'points',
    head: 'f.points',
    cell: ({ points }) => points.length,
    value: ({ points }) => points.length,
    isNumeric: true,
    drop: 2,
  },
  { key: 'sent', head: 'f.sent', cell: (replica) => <LastSent {...replica} />, drop: 1 },
  { key: 'test', head: 'f.tested', cell: ({ test }) => proofOf(test), drop: 1 },
  nodeColumn('f.node'),
  poolColumn(2),
]

const withoutPoint = ({ points }: Replica) => (points.length === 0 ? t('noPoint') : undefined)
/** The points of a replica to choose from, the newest first. */
const pointField = ({ points }: Replica) => ({
  name: 'point_id',
  label: 'f.takenAt' as const,
  kind: 'select' as const,
  options: points.toReversed().map(({ id, taken_at }) => [id, time(taken_at)] as [string, string]),
})

const verbs: readonly Verb<Replica>[] = [
  {
    action: 'replicas.test',
    label: 'verb.testStart',
    params: ({ id }) => ({ id }),
    reason: withoutPoint,
    initial: (replica) => ({ point_id: newestOf(replica)?.id, check: { kind: 'agent' } }),
    fields: (replica) => [pointField(replica), ...bootCheckFields(), { name: 'keep', label: 'f.keepCopy' }],
  },
  {
    action: 'replicas.failover',
    label: 'verb.failOver',
    params: ({ id }) => ({ id }),
    reason: (replica) => (replica.failover ? t('tookOver', { name: replica.failover.vm_id }) : withoutPoint(replica)),
    initial: (replica) => ({
      point_id: newestOf(replica)?.id,
      name: `${replica.vm_name}-failover`,
      start: true,
      keep_macs: true,
    }),
    fields: (replica) => [
      pointField(replica),
      { name: 'name', label: 'f.newVmName', isRequired: true },
      { name: 'start', label: 'f.startAfter' },
      { name: 'keep_macs', label: 'f.keepMacs', hint: 'hint.keepMacs' },
      { name: 'source_is_lost', label: 'f.sourceIsLost' },
    ],
    isDanger: true,
  },
  {
    action: 'replicas.failback',
    label: 'verb.failBack',
    params: ({ id }) => ({ id }),
    reason: ({ failover }) => (failover ? undefined : t('noFailover')),
    confirm: ({ failover }) => t('confirmFailBack', { name: failover?.vm_id ?? '' }),
    isDanger: true,
  },
  {
    action: 'replicas.delete',
    label: 'verb.delete',
    params: ({ id }) => ({ id }),
    reason: ({ failover }) => (failover ? t('tookOver', { name: failover.vm_id }) : undefined),
    confirm: ({ vm_name }) => t('confirmDeleteReplica', { name: vm_name }),
    isDanger: true,
  },
]

export const Replicas = () => (
  <ListScreen
    title="nav.replicas"
    list="replicas.list"
    item="replicas.get"
    columns={columns}
    idOf={({ id }) => id}
    nameOf={({ vm_name }) => vm_name}
    words={({ id, vm_id, vm_name, node }) => [id, vm_id, vm_name, node]}
    facets={[
      { field: 'state', label: 'f.status', of: ({ state }) => state },
      { field: 'node', label: 'f.node', of: ({ node }) => node },
    ]}
    firstSort="vm_name"
    verbs={verbs}
    empty="noReplicas"
    emptyHint="noReplicasHint"
  />
)
