import type { Grant } from '#shared/contracts/access/permissions.ts'
import { useState } from 'preact/hooks'
import { call } from '../../api/client.ts'
import type { ResultOf } from '../../api/contracts.ts'
import { asRefusal, type Refusal } from '../../api/refusal.ts'
import type { Verb } from '../../forms/verbs.tsx'
import { ListScreen } from '../../lists/list-screen.tsx'
import { useQuery } from '../../live/cache.ts'
import { Button } from '../../widgets/button.tsx'
import type { Column } from '../../widgets/column.ts'
import { Card } from '../../widgets/layout.tsx'
import { Problem } from '../../widgets/states.tsx'
import { Status } from '../../widgets/status.tsx'
import { time } from '../../words/format.ts'
import { t } from '../../words/words.ts'
import { WhatIf } from './what-if.tsx'

const columns: Column<Grant>[] = [
  {
    key: 'subject',
    head: 'f.subject',
    cell: ({ subject }) => `${subject.kind}: ${subject.id}`,
    value: ({ subject }) => subject.id,
  },
  { key: 'role', head: 'f.role', cell: ({ role }) => role, value: ({ role }) => role },
  { key: 'path', head: 'f.path', cell: ({ path }) => <code>{path}</code>, value: ({ path }) => path },
  {
    key: 'expires_at',
    head: 'f.until',
    cell: ({ expires_at }) => (expires_at ? time(expires_at) : t('always')),
    value: ({ expires_at }) => expires_at ?? null,
    drop: 2,
  },
  { key: 'created_by', head: 'f.createdBy', cell: ({ created_by }) => created_by, drop: 1 },
]

const verbs: readonly Verb<Grant>[] = [
  {
    action: 'permissions.delete',
    label: 'verb.revoke',
    params: ({ id }) => ({ id }),
    isDanger: true,
    confirm: ({ role, path }) => t('confirmRevoke', { role, path }),
    note: ({ id }) => <WhatIf changes={[{ change: 'revoke', id }]} />,
  },
]

export function Grants() {
  const roles = useQuery('roles.list', { limit: 1000 }).data?.data.map(({ name }) => name) ?? []
  const create: Verb<null> = {
    action: 'permissions.create',
    label: 'createGrant',
    params: () => ({}),
    initial: () => ({ subject: { kind: 'user' }, role: roles[0], path: '/api/vms/*' }),
    fields: () => [
      { name: 'subject.kind', label: 'f.subject', kind: 'select', options: ['user', 'group', 'api_key'] },
      { name: 'subject.id', label: 'f.subjectId', isRequired: true },
      { name: 'role', label: 'f.role', kind: 'select', options: roles },
      { name: 'path', label: 'f.path', isRequired: true, hint: 'hint.grantPath' },
      { name: 'networks', label: 'f.networks', hint: 'hint.grantNetworks' },
      { name: 'expires_at', label: 'f.until', hint: 'hint.expires' },
    ],
    preview: (params) => <WhatIf changes={[{ change: 'grant', ...params }]} />,
    prepare: (params) => ({
      ...params,
      networks: (params['networks'] as string[]).length > 0 ? params['networks'] : undefined,
    }),
  }
  return (
    <ListScreen
      title="nav.grants"
      list="permissions.list"
      columns={columns}
      idOf={({ id }) => id}
      nameOf={({ subject, role }) => `${subject.id} ${role}`}
      words={({ subject, role, path }) => [subject.id, role, path]}
      facets={[{ field: 'role', label: 'f.role', of: ({ role }) => role }]}
      firstSort="subject"
      verbs={verbs}
      create={create}
      empty="noGrants"
      above={
        <div class="gap-below">
          <Explain />
        </div>
      }
    />
  )
}

/** Decision about a privilege on a path, with the grants that led to it. */
function Explain() {
  const [given, setGiven] = useState({ user: '', privilege: 'VmPowerMgmt', path: '/api/vms/' })
  const [answer, setAnswer] = useState<ResultOf<'permissions.explain'>>()
  const [error, setError] = useState<Refusal>()
  const ask = async (event: Event) => {
    event.preventDefault()
    setError(undefined)
    try {
      setAnswer((await call('permissions.explain', given as never)).data)
    } catch (thrown) {
      setError(asRefusal(thrown))
      setAnswer(undefined)
    }
  }
  return (
    <Card title={t('mayUser')}>
      <form class="ask" onSubmit={ask}>
        {(['user', 'privilege', 'path'] as const).map((name) => (
          <label key={name} class="field">
            <span>{t(name === 'privilege' ? 'f.privilege' : `f.${name}`)}</span>
            <input
              value={given[name]}
              size={18}
              onInput={({ currentTarget }) => setGiven({ ...given, [name]: currentTarget.value })}
            />
          </label>
        ))}
        <Button type="submit">{t('explain')}</Button>
      </form>
      {error && <Problem error={error} />}
      {answer && (
        <div role="status" class="above-tabs">
          <p class="row">
            <Status value={answer.allowed ? 'success' : 'denied'} /> {answer.because}
          </p>
          <ul>
            {[...answer.proof, ...answer.near].map((step) => (
              <li key={step.grant}>
                {step.subject.kind} {step.subject.id}: {step.role} {t('on')} <code>{step.path}</code>{' '}
                {step.fails.length > 0 && `(${step.fails.join(', ')})`}
              </li>
            ))}
          </ul>
        </div>
      )}
    </Card>
  )
}
