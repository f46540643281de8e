import { useState } from 'preact/hooks'
import type { ResultOf } from '../../api/contracts.ts'
import { readSession, session, userName } from '../../api/session.ts'
import { ActionForm } from '../../forms/action-form.tsx'
import { QrCode } from '../../widgets/qr-code.tsx'
import { type Verb, VerbDialog, Verbs } from '../../forms/verbs.tsx'
import { useQuery } from '../../live/cache.ts'
import { Button } from '../../widgets/button.tsx'
import { Dialog } from '../../widgets/dialog.tsx'
import { Card, Page } from '../../widgets/layout.tsx'
import { Empty, Loaded } from '../../widgets/states.tsx'
import { Table } from '../../widgets/table.tsx'
import { toast } from '../../widgets/toasts.tsx'
import { ago, time } from '../../words/format.ts'
import { t } from '../../words/words.ts'

/** The caller's own password, second factor, sessions and API keys. */
export function Account() {
  return (
    <Page title={t('account')}>
      <div class="cards">
        <Card title={t('changePassword')}>
          <ActionForm
            action="auth.password"
            fields={[
              {
                name: 'old_password',
                label: 'f.oldPassword',
                isRequired: true,
                autocomplete: 'current-password',
              },
              {
                name: 'new_password',
                label: 'f.newPassword',
                isRequired: true,
                autocomplete: 'new-password',
                hint: 'rule.mixed',
              },
            ]}
            submit="changePassword"
            onDone={() => toast('good', t('passwordChanged'))}
          />
        </Card>
        <SecondFactor />
        <Keys />
        <Sessions />
      </div>
    </Page>
  )
}

type Begun = ResultOf<'auth.totp'>

function SecondFactor() {
  const now = session.value
  const isOn = 'session' in now && now.session.user.totp === true
  const [begun, setBegun] = useState<Begun>()
  const [codes, setCodes] = useState<string[]>()
  const password = {
    name: 'password',
    label: 'f.password',
    isRequired: true,
    autocomplete: 'current-password',
  } as const
  return (
    <Card title={t('secondFactor')}>
      {codes ? (
        <div class="stack">
          <p class="note">{t('recoveryHint')}</p>
          <pre>{codes.join('\n')}</pre>
        </div>
      ) : isOn ? (
        <ActionForm
          action="auth.totpRemove"
          fields={[password, { name: 'code', label: 'f.totp', kind: 'text', autocomplete: 'one-time-code' }]}
          submit="removeTotp"
          isDanger
          onDone={readSession}
        />
      ) : begun ? (
        <ActionForm
          action="auth.totpConfirm"
          fields={[{ name: 'code', label: 'f.totp', kind: 'text', isRequired: true, autocomplete: 'one-time-code' }]}
          submit="confirm"
          onDone={({ recovery_codes }) => {
            setCodes(recovery_codes)
            void readSession()
          }}
        >
          <p>{t('totpHint')}</p>
          <QrCode text={begun.uri} label={t('totpQr')} />
          <p>
            <a href={begun.uri}>{t('openAuthenticator')}</a>
          </p>
          <code>{begun.secret}</code>
        </ActionForm>
      ) : (
        <ActionForm action="auth.totp" fields={[password]} submit="setUpTotp" onDone={setBegun} />
      )}
    </Card>
  )
}

type Key = ResultOf<'users.keys'>['data'][number]

function Keys() {
  const username = userName()
  const keys = useQuery('users.keys', { username, limit: 100 })
  const [isCreating, setCreating] = useState(false)
  const [made, setMade] = useState<string>()
  const create: Verb<null> = {
    action: 'users.createKey',
    label: 'createKey',
    params: () => ({ username }),
    initial: () => ({ expires_in_days: 90 }),
    fields: () => [
      { name: 'name', label: 'f.name', isRequired: true },
      { name: 'expires_in_days', label: 'f.days' },
    ],
    onDone: (answer) => setMade((answer as { key: string }).key),
  }
  const revoke: Verb<Key> = {
    action: 'users.revokeKey',
    label: 'verb.revoke',
    params: ({ id }) => ({ username, id }),
    confirm: ({ name }) => t('confirmDelete', { name }),
    isDanger: true,
  }
  return (
    <Card
      title={t('apiKeys')}
      actions={
        <Button icon="plus" onClick={() => setCreating(true)}>
          {t('createKey')}
        </Button>
      }
    >
      <Loaded of={keys} rows={2}>
        {({ data }) =>
          data.length === 0 ? (
            <Empty title={t('noKeys')} />
          ) : (
            <Table
              label={t('apiKeys')}
              rows={data}
              idOf={({ id }) => id}
              columns={[
                { key: 'name', head: 'f.name', cell: ({ name }) => name },
                {
                  key: 'expires',
                  head: 'f.until',
                  cell: ({ expires_at }) => (expires_at ? time(expires_at) : t('always')),
                },
              ]}
              rowActions={(key) => <Verbs item={key} verbs={[revoke]} label={key.name} />}
            />
          )
        }
      </Loaded>
      {isCreating && <VerbDialog verb={create} item={null} name={t('apiKeys')} onClose={() => setCreating(false)} />}
      {made && (
        <Dialog title={t('newKey')} onClose={() => setMade(undefined)}>
          <div class="form">
            <p class="note">{t('shownOnce')}</p>
            <code>{made}</code>
            <footer>
              <Button icon="copy" onClick={() => navigator.clipboard?.writeText(made)}>
                {t('copy')}
              </Button>
            </footer>
          </div>
        </Dialog>
      )}
    </Card>
  )
}

function Sessions() {
  const sessions = useQuery('auth.sessions', { limit: 50 })
  const end: Verb<{ id: string }> = {
    action: 'auth.endSession',
    label: 'verb.end',
    params: ({ id }) => ({ id }),
    confirm: () => t('confirmEndSession'),
  }
  return (
    <Card title={t('sessions')}>
      <Loaded of={sessions} rows={2}>
        {({ data }) => (
          <Table
            label={t('sessions')}
            rows={data}
            idOf={({ id }) => id}
            columns={[
              { key: 'address', head: 'f.address', cell: ({ address }) => address },
              { key: 'used', head: 'f.lastUsed', cell: ({ last_used_at }) => ago(last_used_at) },
            ]}
            rowActions={(item) => <Verbs item={item} verbs={[end]} label={item.address} />}
          />
        )}
      </Loaded>
    </Card>
  )
}
