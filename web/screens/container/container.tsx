import type { Container } from '#shared/contracts/container/containers.ts'
import { useRoute } from 'preact-iso'
import { useState } from 'preact/hooks'
import { may } from '../../api/session.ts'
import { ActionForm } from '../../forms/action-form.tsx'
import { Verbs } from '../../forms/verbs.tsx'
import { useQuery } from '../../live/cache.ts'
import { ended } from '../../live/operations.ts'
import { Card, Facts, Page, Tabs } from '../../widgets/layout.tsx'
import { Empty, Loaded } from '../../widgets/states.tsx'
import { Status } from '../../widgets/status.tsx'
import { ago, mib } from '../../words/format.ts'
import { t, type Word } from '../../words/words.ts'
import { ConsoleFrame } from '../console-frame.tsx'
import { ResourceHistory } from '../resource-history.tsx'
import { Logs } from './logs.tsx'
import { containerVerbs } from './verbs.tsx'

const tabs: [string, Word][] = [
  ['overview', 'tab.overview'],
  ['logs', 'tab.logs'],
  ['shell', 'tab.shell'],
  ['command', 'tab.command'],
  ['history', 'tab.history'],
]

export function ContainerPage() {
  const { params } = useRoute()
  const id = params['id'] ?? ''
  const tab = params['tab'] || 'overview'
  const container = useQuery('containers.get', { id })
  const shown = tabs.filter(([key]) => !['command', 'shell'].includes(key) || may('containers.exec', { id }))
  return (
    <Page
      title={container.data?.name ?? id}
      above={
        <nav class="crumbs" aria-label={t('place')}>
          <a href="/containers">{t('nav.containers')}</a>
        </nav>
      }
      actions={
        container.data && <Verbs item={container.data} verbs={containerVerbs} shown={3} label={container.data.name} />
      }
    >
      <Loaded of={container}>
        {(data) => (
          <>
            <p class="row above-tabs">
              <Status value={data.status} reason={data.status_reason} />
              {data.health && <Status value={data.health} />}
              {data.status_reason && <span class="dim">{data.status_reason}</span>}
              {!data.managed && <span class="tag">{t('notManaged')}</span>}
            </p>
            <Tabs
              label={data.name}
              base={`/containers/${id}`}
              current={tab}
              tabs={shown.map(([key, word]) => [key, t(word)])}
            />
            {tab === 'logs' ? (
              <Logs id={id} />
            ) : tab === 'shell' ? (
              <Shell container={data} />
            ) : tab === 'command' ? (
              <Command id={id} />
            ) : tab === 'history' ? (
              <ResourceHistory path={`/api/containers/${id}`} />
            ) : (
              <Overview container={data} />
            )}
          </>
        )}
      </Loaded>
    </Page>
  )
}

function Overview({ container: c }: { container: Container }) {
  return (
    <div class="cards">
      <Card title={t('tab.overview')}>
        <Facts
          of={[
            [t('f.containerImage'), c.image ?? c.rootfs],
            [t('f.runtime'), c.runtime],
            [t('f.node'), c.node],
            [t('f.command'), <code>{c.command.join(' ')}</code>],
            [
              t('f.addresses'),
              c.networks.map(({ name, address }) => (
                <div key={name}>
                  {name}: {address ?? '–'}
                </div>
              )),
            ],
            [
              t('f.ports'),
              c.ports.map((port) => (
                <div
                  key={port.host_port}
                >{`${port.host_ip}:${port.host_port} → ${port.container_port}/${port.protocol}`}</div>
              )),
            ],
            [t('f.restartPolicy'), c.restart_policy],
            [t('f.exitCode'), c.exit_code],
            [t('f.oomKills'), c.oom_kills],
            [t('f.stack'), c.stack],
            [t('f.createdAt'), <time dateTime={c.created_at}>{ago(c.created_at)}</time>],
            [t('f.id'), <code>{c.id}</code>],
          ]}
        />
      </Card>
      <Card title={t('limits')}>
        <Facts
          of={[
            [t('f.memory'), mib(c.memory)],
            [t('f.cpus'), c.cpus],
            [t('f.pids'), c.pids],
          ]}
        />
      </Card>
      {c.mounts.length > 0 && (
        <Card title={t('mounts')}>
          <Facts
            of={c.mounts.map(({ source, target, read_only }) => [
              target,
              `${source ?? ''}${read_only ? ` (${t('readOnly')})` : ''}`,
            ])}
          />
        </Card>
      )}
      {Object.keys(c.env).length > 0 && (
        <Card title={t('f.env')}>
          <details>
            <summary>{t('showValues', { count: Object.keys(c.env).length })}</summary>
            <pre>
              {Object.entries(c.env)
                .map(([name, value]) => `${name}=${value}`)
                .join('\n')}
            </pre>
          </details>
        </Card>
      )}
    </div>
  )
}

/** A shell in the container. */
function Shell({ container: { id, name, status } }: { container: Container }) {
  if (status !== 'running')
    return (
      <Empty title={t('shellOff')}>
        <p>{t('shellOffHint')}</p>
      </Empty>
    )
  return <ConsoleFrame query={`container=${encodeURIComponent(id)}`} title={`${t('tab.shell')} ${name}`} />
}

type Outcome = { exit_code: number | null; stdout: string; stderr: string; truncated: boolean }

/** One command and its output. */
function Command({ id }: { id: string }) {
  const [outcome, setOutcome] = useState<Outcome | string>()
  return (
    <Card title={t('tab.command')}>
      <ActionForm
        action="containers.exec"
        params={{ id }}
        fields={[
          { name: 'command', label: 'f.command', kind: 'text', isRequired: true, hint: 'hint.shell' },
          { name: 'user', label: 'f.user' },
        ]}
        prepare={(params) => ({ ...params, command: ['sh', '-c', params['command']] })}
        submit="verb.run"
        onDone={async (operation) => {
          setOutcome(t('runs'))
          const { result, error } = await ended(operation)
          // The result of containers.exec.
          setOutcome(error ? error.message : (result as Outcome))
        }}
      />
      {outcome !== undefined && (
        <div class="log short" role="log" tabIndex={0} aria-label={t('output')}>
          {typeof outcome === 'string' ? (
            <pre>{outcome}</pre>
          ) : (
            <>
              <pre>{outcome.stdout}</pre>
              <pre class="err">{outcome.stderr}</pre>
              <pre>{t('exitCode', { code: String(outcome.exit_code) })}</pre>
            </>
          )}
        </div>
      )}
    </Card>
  )
}
