import type { NetworkPolicy } from '#shared/contracts/container/network-policies.ts'
import { useState } from 'preact/hooks'
import { call } from '../../api/client.ts'
import type { ResultOf } from '../../api/contracts.ts'
import { asRefusal, type Refusal } from '../../api/refusal.ts'
import { may } from '../../api/session.ts'
import type { Verb } from '../../forms/verbs.tsx'
import { ListScreen } from '../../lists/list-screen.tsx'
import type { Column } from '../../widgets/column.ts'
import { Button } from '../../widgets/button.tsx'
import { Card } from '../../widgets/layout.tsx'
import { Problem } from '../../widgets/states.tsx'
import { Status } from '../../widgets/status.tsx'
import { t } from '../../words/words.ts'
import { PolicyEditor } from './policy-editor.tsx'

const columns: Column<NetworkPolicy>[] = [
  { key: 'id', head: 'f.id', cell: ({ id }) => id, value: ({ id }) => id },
  {
    key: 'enforced',
    head: 'f.enforced',
    cell: ({ enforced, gaps }) => <Status value={enforced ? 'yes' : 'failed'} reason={gaps[0]?.reason ?? null} />,
    value: ({ enforced }) => Number(enforced),
  },
  {
    key: 'selects',
    head: 'f.selects',
    cell: ({ selects }) => selects.length,
    value: ({ selects }) => selects.length,
    isNumeric: true,
  },
  {
    key: 'resource_pool',
    head: 'f.resourcePool',
    cell: ({ resource_pool }) => resource_pool ?? '–',
    value: ({ resource_pool }) => resource_pool,
    drop: 2,
  },
  { key: 'description', head: 'f.description', cell: ({ description }) => description, drop: 2 },
]

export function Policies() {
  const [edited, setEdited] = useState<NetworkPolicy | null>()
  const verbs: readonly Verb<NetworkPolicy>[] = [
    {
      action: 'network-policies.delete',
      label: 'verb.delete',
      params: ({ id }) => ({ id }),
      typed: ({ id }) => id,
      confirm: ({ id }) => t('confirmDelete', { name: id }),
      isDanger: true,
    },
  ]
  const withEdit: Column<NetworkPolicy>[] = columns.map((column) =>
    column.key === 'id' && may('network-policies.apply')
      ? {
          ...column,
          cell: (policy) => (
            <Button kind="quiet" onClick={() => setEdited(policy)}>
              {policy.id}
            </Button>
          ),
        }
      : column,
  )
  return (
    <>
      <ListScreen
        title="nav.policies"
        list="network-policies.list"
        item="network-policies.get"
        columns={withEdit}
        idOf={({ id }) => id}
        nameOf={({ id }) => id}
        words={({ id, description }) => [id, description]}
        firstSort="id"
        verbs={verbs}
        empty="noPolicies"
        emptyHint="noPoliciesHint"
        above={
          <div class="stack gap-below">
            {may('network-policies.apply') && (
              <div>
                <Button kind="main" icon="plus" onClick={() => setEdited(null)}>
                  {t('createPolicy')}
                </Button>
              </div>
            )}
            {may('network-policies.explain') && <Explain />}
          </div>
        }
      />
      {edited !== undefined && <PolicyEditor policy={edited} onClose={() => setEdited(undefined)} />}
    </>
  )
}

/** May one reach the other, and by which rule? */
function Explain() {
  const [given, setGiven] = useState({ from: '', to: '', port: '443' })
  const [answer, setAnswer] = useState<ResultOf<'network-policies.explain'>>()
  const [error, setError] = useState<Refusal>()
  const ask = async (event: Event) => {
    event.preventDefault()
    setError(undefined)
    try {
      setAnswer((await call('network-policies.explain', { ...given, port: Number(given.port) })).data)
    } catch (thrown) {
      setError(asRefusal(thrown))
    }
  }
  return (
    <Card title={t('mayReach')}>
      <form class="ask" onSubmit={ask}>
        {(['from', 'to', 'port'] as const).map((name) => (
          <label key={name} class="field">
            <span>{t(`f.${name}`)}</span>
            <input
              value={given[name]}
              required
              size={name === 'port' ? 6 : 18}
              onInput={({ currentTarget }) => setGiven({ ...given, [name]: currentTarget.value })}
            />
          </label>
        ))}
        <Button type="submit">{t('explain')}</Button>
      </form>
      {error && <Problem error={error} />}
      <div role="status">
        {answer?.flows.map((flow) => {
          const side = flow.egress.allowed ? flow.ingress : flow.egress
          return (
            <p key={`${flow.from} ${flow.to}`} class="row">
              <Status value={flow.allowed ? 'success' : 'denied'} /> {flow.from} → {flow.to} ·{' '}
              {side.allowed_by
                ? t('byRule', { policy: side.allowed_by.policy, rule: side.allowed_by.rule })
                : side.isolated_by.length > 0
                  ? t('isolatedBy', { policies: side.isolated_by.join(', ') })
                  : side.reason}
            </p>
          )
        })}
      </div>
    </Card>
  )
}
