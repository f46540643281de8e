import type { Alert, Rule, Silence } from '#shared/contracts/metrics/alert-parts.ts'
import { useRoute } from 'preact-iso'
import type { Verb } from '../../forms/verbs.tsx'
import { ListScreen } from '../../lists/list-screen.tsx'
import type { Column } from '../../widgets/column.ts'
import { Page, Tabs } from '../../widgets/layout.tsx'
import { Status } from '../../widgets/status.tsx'
import { ago, time } from '../../words/format.ts'
import { t } from '../../words/words.ts'

const columns: Column<Alert>[] = [
  {
    key: 'severity',
    head: 'f.severity',
    cell: ({ severity }) => <Status value={severity} />,
    value: ({ severity }) => severity,
  },
  { key: 'phase', head: 'f.status', cell: ({ phase }) => <Status value={phase} />, value: ({ phase }) => phase },
  {
    key: 'name',
    head: 'f.message',
    cell: ({ name, message }) => (
      <>
        <b>{name}</b>
        <span class="whole dim">{message}</span>
      </>
    ),
    value: ({ name }) => name,
  },
  {
    key: 'since',
    head: 'f.since',
    cell: ({ pending_since }) => (
      <time dateTime={pending_since} title={time(pending_since)}>
        {ago(pending_since)}
      </time>
    ),
    value: ({ pending_since }) => pending_since,
    drop: 2,
  },
  { key: 'acknowledged', head: 'f.acknowledged', cell: ({ acknowledged }) => acknowledged?.by ?? '–', drop: 1 },
]
const inHours = (hours: number) => new Date(Date.now() + hours * 3_600_000).toISOString()

const verbs: readonly Verb<Alert>[] = [
  {
    action: 'alerts.acknowledge',
    label: 'verb.acknowledge',
    params: ({ id }) => ({ id }),
    reason: ({ acknowledged }) => (acknowledged ? t('isAcknowledged') : undefined),
    fields: () => [{ name: 'comment', label: 'f.comment' }],
  },
  {
    action: 'alerts.silence',
    label: 'verb.silence',
    params: ({ rule, subject }) => ({ rule, subject }),
    initial: () => ({ hours: 8 }),
    fields: () => [
      { name: 'hours', label: 'f.hours', kind: 'number', isRequired: true },
      { name: 'comment', label: 'f.comment' },
    ],
    prepare: ({ hours, ...params }) => ({ ...params, ends_at: inHours(Number(hours)) }),
  },
]

const ruleColumns: Column<Rule>[] = [
  { key: 'name', head: 'f.name', cell: ({ name }) => name, value: ({ name }) => name },
  {
    key: 'severity',
    head: 'f.severity',
    cell: ({ severity }) => <Status value={severity} />,
    value: ({ severity }) => severity,
  },
  {
    key: 'enabled',
    head: 'f.status',
    cell: ({ enabled }) => <Status value={enabled ? 'enabled' : 'disabled'} />,
    value: ({ enabled }) => Number(enabled),
  },
  {
    key: 'description',
    head: 'f.description',
    cell: ({ description }) => <span title={description}>{description}</span>,
    drop: 2,
  },
]
const ruleFields: Verb<Rule>['fields'] = () => [
  { name: 'name', label: 'f.name', isRequired: true },
  { name: 'description', label: 'f.description', kind: 'area' },
  { name: 'severity', label: 'f.severity', kind: 'select', options: ['info', 'warning', 'critical'] },
  { name: 'condition', label: 'f.condition', kind: 'json', isRequired: true, hint: 'hint.condition' },
  { name: 'for', label: 'f.forSeconds' },
  { name: 'enabled', label: 'f.enabled' },
]
const ruleVerbs: readonly Verb<Rule>[] = [
  {
    action: 'alerts.replaceRule',
    label: 'edit',
    params: ({ id, scope, keep_firing_for, missing }) => ({ id, scope, keep_firing_for, missing }),
    initial: (rule) => rule,
    fields: ruleFields,
  },
  {
    action: 'alerts.deleteRule',
    label: 'verb.delete',
    params: ({ id }) => ({ id }),
    reason: ({ built_in }) => (built_in ? t('isBuiltIn') : undefined),
    confirm: ({ name }) => t('confirmDelete', { name }),
    isDanger: true,
  },
]
const createRule: Verb<null> = {
  action: 'alerts.createRule',
  label: 'createRule',
  params: () => ({}),
  initial: () => ({
    severity: 'warning',
    enabled: true,
    for: 60,
    condition: { kind: 'threshold', of: 'vms', metric: 'cpu_percent', above: 95 },
  }),
  fields: () => ruleFields(undefined as never),
}

const silenceColumns: Column<Silence>[] = [
  { key: 'rule', head: 'f.rule', cell: ({ rule }) => rule ?? '–' },
  { key: 'subject', head: 'f.subject', cell: ({ subject, tag }) => subject ?? tag ?? '–' },
  { key: 'ends_at', head: 'f.until', cell: ({ ends_at }) => time(ends_at), value: ({ ends_at }) => ends_at },
  { key: 'by', head: 'f.user', cell: ({ by }) => by, drop: 2 },
  { key: 'comment', head: 'f.comment', cell: ({ comment }) => comment, drop: 2 },
]

export function Alerts() {
  const tab = useRoute().params['tab'] || 'active'
  return (
    <Page title={t('nav.alerts')}>
      <Tabs
        label={t('nav.alerts')}
        base="/alerts"
        current={tab}
        tabs={[
          ['active', t('activeAlerts')],
          ['rules', t('rules')],
          ['silences', t('silences')],
        ]}
      />
      {tab === 'rules' ? (
        <ListScreen
          isPart
          title="rules"
          list="alerts.rules"
          columns={ruleColumns}
          idOf={({ id }) => id}
          nameOf={({ name }) => name}
          words={({ name, description }) => [name, description]}
          firstSort="name"
          verbs={ruleVerbs}
          create={createRule}
          empty="noRules"
        />
      ) : tab === 'silences' ? (
        <ListScreen
          isPart
          title="silences"
          list="alerts.silences"
          columns={silenceColumns}
          idOf={({ id }) => id}
          nameOf={({ id, rule }) => rule ?? id}
          words={({ rule, subject, comment }) => [rule, subject, comment]}
          verbs={[{ action: 'alerts.endSilence', label: 'verb.endSilence', params: ({ id }) => ({ id }) }]}
          empty="noSilences"
        />
      ) : (
        <ListScreen
          isPart
          title="activeAlerts"
          list="alerts.active"
          columns={columns}
          idOf={({ id }) => id}
          nameOf={({ name, subject }) => `${name} ${subject}`}
          words={({ name, message, subject }) => [name, message, subject]}
          verbs={verbs}
          facets={[{ field: 'severity', label: 'f.severity', of: ({ severity }) => severity }]}
          empty="noAlerts"
        />
      )}
    </Page>
  )
}
