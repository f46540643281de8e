import type { HaNode, HaResource, HaStatus } from '#shared/contracts/cluster/ha.ts'
import type { Field } from '../../forms/fields.ts'
import type { Verb } from '../../forms/verbs.tsx'
import { Verbs } from '../../forms/verbs.tsx'
import { ListScreen } from '../../lists/list-screen.tsx'
import { useQuery } from '../../live/cache.ts'
import { useCollection } from '../../live/collection.ts'
import type { Column } from '../../widgets/column.ts'
import { Card } from '../../widgets/layout.tsx'
import { Loaded } from '../../widgets/states.tsx'
import { Status } from '../../widgets/status.tsx'
import { t } from '../../words/words.ts'

type Decided = HaStatus['resources'][number]

const confirmOff: Verb<HaNode> = {
  action: 'ha.confirmOff',
  label: 'verb.confirmOff',
  params: ({ id }) => ({ id }),
  reason: ({ state, is_confirmed_off }) =>
    state === 'online' ? t('nodeAnswers') : is_confirmed_off ? t('isConfirmedOff') : undefined,
  typed: ({ id }) => id,
  confirm: ({ id }) => t('confirmOff', { name: id }),
  isDanger: true,
}

/** The state of HA with its reason, and its nodes. */
function State({ of: { state, reason, nodes } }: { of: HaStatus }) {
  return (
    <Card title={t('nav.ha')}>
      <p class="row">
        <Status value={state} /> {reason}
      </p>
      <ul class="plain">
        {nodes.map((node) => (
          <li key={node.id} class="row">
            <Status value={node.state} /> <b>{node.id}</b>
            {node.is_confirmed_off && <span class="tag">{t('isConfirmedOff')}</span>}
            {node.quarantined_seconds > 0 && (
              <span class="dim">{t('quarantined', { seconds: node.quarantined_seconds })}</span>
            )}
            {node.state !== 'online' && <Verbs item={node} verbs={[confirmOff]} shown={1} label={node.id} />}
          </li>
        ))}
      </ul>
    </Card>
  )
}

const columnsWith = (decisions: ReadonlyMap<string, Decided>): Column<HaResource>[] => [
  { key: 'id', head: 'vm', cell: ({ id }) => <a href={`/vms/${id}`}>{id}</a>, value: ({ id }) => id },
  { key: 'node', head: 'f.node', cell: ({ id }) => decisions.get(id)?.node ?? '–', drop: 1 },
  {
    key: 'status',
    head: 'f.status',
    cell: ({ id, attention }) => (
      <Status value={attention === null ? (decisions.get(id)?.status ?? 'unknown') : 'needs_attention'} />
    ),
  },
  {
    key: 'decision',
    head: 'f.decision',
    cell: ({ id, attention }) => {
      const decision = decisions.get(id)
      return attention ?? (decision?.to ? `→ ${decision.to}: ${decision.reason}` : decision?.reason)
    },
  },
  { key: 'tier', head: 'f.tier', cell: ({ tier }) => tier, value: ({ tier }) => tier, isNumeric: true, drop: 2 },
  { key: 'group', head: 'f.group', cell: ({ group }) => group ?? '–', drop: 2 },
]

const fieldsWith = (groups: readonly string[]): readonly Field[] => [
  { name: 'group', label: 'f.group', hint: 'hint.haGroup', suggestions: groups, isNullable: true },
  { name: 'tier', label: 'f.tier', hint: 'hint.tier' },
]

const verbsWith = (decisions: ReadonlyMap<string, Decided>, fields: readonly Field[]): readonly Verb<HaResource>[] => [
  {
    action: 'ha-resources.failover',
    label: 'verb.failover',
    params: ({ id }) => ({ id }),
    reason: ({ id }) => {
      const decision = decisions.get(id)
      return decision?.kind === 'start' ? undefined : (decision?.reason ?? t('notDecided'))
    },
  },
  {
    action: 'ha-resources.update',
    label: 'edit',
    params: ({ id }) => ({ id }),
    initial: (resource) => resource,
    fields: () => fields,
  },
  {
    action: 'ha-resources.delete',
    label: 'verb.endHa',
    params: ({ id }) => ({ id }),
    confirm: ({ id }) => t('confirmEndHa', { name: id }),
  },
]

/** Virtual machines under HA with the decision about each, and its reason. */
export function Ha() {
  const status = useQuery('ha.status', {})
  const groups = useCollection('ha-groups.list', {}, 'ha-groups.get').items
  const fields = fieldsWith(groups.map(({ id }) => id))
  const decisions = new Map(status.data?.resources.map((each) => [each.id, each]))
  return (
    <ListScreen
      title="nav.ha"
      list="ha-resources.list"
      item="ha-resources.get"
      columns={columnsWith(decisions)}
      idOf={({ id }) => id}
      nameOf={({ id }) => id}
      words={({ id, group }) => [id, group]}
      firstSort="id"
      verbs={verbsWith(decisions, fields)}
      above={<Loaded of={status}>{(found) => <State of={found} />}</Loaded>}
      create={{
        action: 'ha-resources.create',
        label: 'putUnderHa',
        params: () => ({}),
        initial: () => ({ tier: 5 }),
        fields: () => [{ name: 'id', label: 'f.vmId', isRequired: true }, ...fields],
      }}
      empty="noHa"
      emptyHint="noHaHint"
    />
  )
}
