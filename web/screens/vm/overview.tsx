import type { Vm } from '#shared/contracts/vm/vms.ts'
import { useState } from 'preact/hooks'
import { call } from '../../api/client.ts'
import { may } from '../../api/session.ts'
import { ActionForm } from '../../forms/action-form.tsx'
import type { Field } from '../../forms/fields.ts'
import { useQuery } from '../../live/cache.ts'
import { Button } from '../../widgets/button.tsx'
import { Dialog } from '../../widgets/dialog.tsx'
import { Card, Facts } from '../../widgets/layout.tsx'
import { Tag } from '../../widgets/status.tsx'
import { ago, bytes, decimal, mib, percent, time } from '../../words/format.ts'
import { t, told } from '../../words/words.ts'

const editable: readonly Field[] = [
  { name: 'name', label: 'f.name', isRequired: true },
  { name: 'description', label: 'f.description', kind: 'area' },
  { name: 'memory', label: 'f.memory', hint: 'hint.memory', isRequired: true },
  { name: 'cpus', label: 'f.cpus', isRequired: true },
  { name: 'tags', label: 'f.tags', hint: 'hint.tags' },
  { name: 'autostart', label: 'f.autostart' },
  { name: 'protected', label: 'f.protected' },
]

export function Overview({ vm, etag }: { vm: Vm; etag: string | undefined }) {
  /** The record as it was when the form was opened: events do not change it. */
  const [base, setBase] = useState<{ data: Vm; etag: string | undefined }>()
  const isRunning = vm.status === 'running'
  const measured = useQuery('monitoring.vm', isRunning ? { id: vm.id } : null)
  const agent = useQuery('guests.agent', isRunning ? { id: vm.id } : null)
  const addresses = (agent.data?.interfaces ?? [])
    .flatMap((each) => each.addresses ?? [])
    .map(String)
    .filter((each) => !each.startsWith('127.') && !each.startsWith('::1'))
  const edit = may('vms.update', { id: vm.id }) && !vm.template && (
    <Button onClick={() => setBase({ data: vm, etag })}>{t('edit')}</Button>
  )
  return (
    <div class="cards">
      <Card title={t('tab.overview')} actions={edit}>
        <Facts
          of={[
            [t('f.memory'), mib(vm.memory)],
            [t('f.cpus'), vm.cpus],
            [t('f.node'), may('nodes.get', { id: vm.node }) ? <a href={`/nodes/${vm.node}`}>{vm.node}</a> : vm.node],
            [t('f.hypervisor'), `${vm.hypervisor} (${vm.accel})`],
            [t('f.architecture'), `${vm.architecture}, ${vm.firmware}`],
            [t('f.addresses'), addresses.length > 0 ? <span class="mono">{addresses.join(', ')}</span> : undefined],
            [t('f.autostart'), t(vm.autostart ? 'yes' : 'no')],
            [t('f.protected'), t(vm.protected ? 'yes' : 'no')],
            [t('f.tags'), vm.tags.length > 0 ? vm.tags.map((tag) => <Tag key={tag} text={tag} />) : undefined],
            [
              t('f.createdAt'),
              <time dateTime={vm.created_at} title={time(vm.created_at)}>
                {ago(vm.created_at)}
              </time>,
            ],
            [t('f.id'), <code>{vm.id}</code>],
          ]}
        />
        {vm.description && (
          <p class="dim" style={{ marginTop: '1rem', whiteSpace: 'pre-wrap' }}>
            {vm.description}
          </p>
        )}
      </Card>
      {isRunning && (
        <Card title={t('now')}>
          <Facts
            of={[
              [t('m.cpu'), percent(measured.data?.cpu_percent)],
              [t('m.memory'), percent(measured.data?.memory_percent)],
              [t('m.diskRead'), rate(measured.data?.disk_read_bytes_per_second)],
              [t('m.diskWritten'), rate(measured.data?.disk_written_bytes_per_second)],
              [t('m.received'), rate(measured.data?.network_received_bytes_per_second)],
              [t('m.sent'), rate(measured.data?.network_sent_bytes_per_second)],
              [
                t('f.age'),
                measured.data?.age_seconds == null ? undefined : `${decimal(measured.data.age_seconds, 0)} s`,
              ],
            ]}
          />
        </Card>
      )}
      {vm.pending.length > 0 && (
        <Card title={t('pendingRestart')}>
          <Facts
            of={vm.pending.map(({ field, current, next }) => [told('f', field), `${show(current)} → ${show(next)}`])}
          />
        </Card>
      )}
      {base && (
        <Dialog title={t('editTitle', { name: vm.name })} onClose={() => setBase(undefined)}>
          <ActionForm
            action="vms.update"
            params={{ id: vm.id }}
            fields={editable}
            base={base}
            reload={async () => {
              const { data, etag } = await call('vms.get', { id: vm.id })
              return { data, etag: etag ?? undefined }
            }}
            submit="save"
            onDone={() => setBase(undefined)}
            onCancel={() => setBase(undefined)}
          />
        </Dialog>
      )}
    </div>
  )
}

const rate = (value: number | null | undefined) => (value == null ? undefined : `${bytes(value)}/s`)
const show = (value: unknown) => (typeof value === 'object' ? JSON.stringify(value) : String(value))
