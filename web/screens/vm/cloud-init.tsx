import type { Vm } from '#shared/contracts/vm/vms.ts'
import { useState } from 'preact/hooks'
import { may } from '../../api/session.ts'
import { type Verb, VerbDialog, Verbs } from '../../forms/verbs.tsx'
import type { Field } from '../../forms/fields.ts'
import { useQuery } from '../../live/cache.ts'
import { Button } from '../../widgets/button.tsx'
import { Card, Facts } from '../../widgets/layout.tsx'
import { Empty, Loaded } from '../../widgets/states.tsx'
import { t } from '../../words/words.ts'

/** Fields of a cloud-init seed, here and in the form of a new VM. */
export const cloudInitFields = (): Field[] => [
  { name: 'hostname', label: 'f.hostname' },
  { name: 'user.name', label: 'f.guestUser', autocomplete: 'off' },
  { name: 'user.plain_password', label: 'f.guestPassword', autocomplete: 'new-password' },
  { name: 'ssh_keys', label: 'f.sshKeys', kind: 'lines', hint: 'hint.sshKeys' },
  { name: 'packages', label: 'f.packages' },
  { name: 'network', label: 'f.networkConfig', kind: 'json', hint: 'hint.networkConfig' },
]

/** The seed without what was left empty; a user with a password or key gets sudo. */
export function seedOf(params: Record<string, unknown>): Record<string, unknown> {
  const filled = Object.fromEntries(
    Object.entries(params).filter(([, value]) => value !== undefined && !(Array.isArray(value) && value.length === 0)),
  )
  const user = filled['user'] as Record<string, unknown> | undefined
  if (user?.['name']) filled['user'] = { sudo: 'ALL=(ALL) NOPASSWD:ALL', shell: '/bin/bash', ...user }
  return filled
}

/** True if nobody could sign in to a guest with this seed. */
export const isLockedOut = (seed: Record<string, unknown>) =>
  !(seed['ssh_keys'] as unknown[] | undefined)?.length &&
  !(seed['user'] as Record<string, unknown> | undefined)?.['plain_password']

export function CloudInit({ vm }: { vm: Vm }) {
  const { id } = vm
  const seed = useQuery('cloudinit.get', vm.seed ? { id } : null)
  const [isOpen, setOpen] = useState(false)
  const set: Verb<Vm> = {
    action: 'cloudinit.set',
    label: 'verb.setCloudInit',
    params: () => ({ id }),
    initial: () => ({ hostname: vm.name, ...seed.data }),
    fields: cloudInitFields,
    prepare: (params) => ({ id, ...seedOf(params) }),
    note: () => <p class="note">{t('cloudInitNote')}</p>,
  }
  const remove: Verb<Vm> = {
    action: 'cloudinit.remove',
    label: 'verb.removeCloudInit',
    params: () => ({ id }),
    confirm: () => t('confirmRemoveSeed'),
    isDanger: true,
  }
  return (
    <Card
      title={t('tab.cloudInit')}
      actions={
        <>
          {may('cloudinit.set', { id }) && (
            <Button kind="main" onClick={() => setOpen(true)}>
              {t('verb.setCloudInit')}
            </Button>
          )}
          {vm.seed && <Verbs item={vm} verbs={[remove]} shown={1} label={vm.name} />}
        </>
      }
    >
      {!vm.seed ? (
        <Empty title={t('noCloudInit')}>
          <p>{t('noCloudInitHint')}</p>
        </Empty>
      ) : (
        <Loaded of={seed}>
          {(data) => (
            <Facts
              of={[
                [t('f.hostname'), data.hostname],
                [t('f.guestUser'), data.user?.name],
                [t('f.guestPassword'), t(data.user?.has_password ? 'yes' : 'no')],
                [
                  t('f.sshKeys'),
                  data.ssh_keys?.map((key) => (
                    <div key={key} class="mono">
                      {key.slice(0, 24)}… {key.split(' ')[2]}
                    </div>
                  )),
                ],
                [t('f.packages'), data.packages?.join(', ')],
                [t('f.networkConfig'), data.network && <pre>{JSON.stringify(data.network, null, 2)}</pre>],
              ]}
            />
          )}
        </Loaded>
      )}
      {isOpen && <VerbDialog verb={set} item={vm} name={vm.name} onClose={() => setOpen(false)} />}
    </Card>
  )
}
