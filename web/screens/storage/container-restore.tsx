import { enums } from 'virtual:forms'
import type { Backup } from '#shared/contracts/storage/backups.ts'
import type { ContainerRestorePlan } from '#shared/contracts/storage/container-backups.ts'
import type { Plan } from '../../forms/action-form.tsx'
import type { Verb } from '../../forms/verbs.tsx'
import { bytes } from '../../words/format.ts'
import { t } from '../../words/words.ts'
import './backup-words.ts'

export const unready = ({ state }: Backup) => (state === 'ready' ? undefined : t('backupIsNotReady'))
const ofContainer = ({ kind }: Backup) => kind === 'container'

/** The container that a backup becomes: everything that is restored, left out, and other than it was. */
function showPlan(plan: Plan) {
  // The plan of this action, by its contract.
  const { name, node, runtime, places, left_out, missing_env, data_bytes, differences } = plan as ContainerRestorePlan
  return (
    <section class="note" role="status" aria-label={t('plan')}>
      <h3>{t('plan')}</h3>
      <p>
        <b>{name}</b> ({node}, {runtime}): {bytes(data_bytes)}, {places.map(({ target }) => target).join(', ')}
      </p>
      {missing_env.length > 0 && (
        <p>
          {t('missingEnv')} <b>{missing_env.join(', ')}</b>
        </p>
      )}
      {left_out.length > 0 && <h4>{t('leftOut')}</h4>}
      <ul>
        {left_out.map(({ target, reason }) => (
          <li key={target}>
            {target}: {reason}
          </li>
        ))}
      </ul>
      {differences.length > 0 && <h4>{t('differsFromBackup')}</h4>}
      <ul>
        {differences.map(({ field, backup, restored, reason }) => (
          <li key={`${field} ${backup}`}>
            {field}: {backup} → {restored} ({reason})
          </li>
        ))}
      </ul>
    </section>
  )
}

/** Restores of a backup of a container, after a look at the plan. */
export const containerRestores: readonly Verb<Backup>[] = [
  {
    action: 'container-backups.restore',
    label: 'verb.restoreNewContainer',
    params: ({ id }) => ({ id, to: 'new' }),
    fits: ofContainer,
    reason: unready,
    initial: ({ container }) => ({ runtime: container?.runtime, bind_mounts: true }),
    fields: () => [
      { name: 'name', label: 'f.name' },
      { name: 'node', label: 'f.node' },
      { name: 'runtime', label: 'f.runtime', kind: 'select', options: enums.runtime },
      { name: 'env', label: 'f.env', kind: 'json', hint: 'hint.env' },
      { name: 'bind_mounts', label: 'f.bindMounts' },
      { name: 'resource_pool', label: 'f.resourcePool' },
      { name: 'start', label: 'f.startAfter' },
    ],
    showPlan,
  },
  {
    action: 'container-backups.restore',
    label: 'verb.restoreSameContainer',
    params: ({ id }) => ({ id, to: 'same' }),
    fits: ofContainer,
    reason: unready,
    fields: () => [{ name: 'start', label: 'f.startAfter' }],
    showPlan,
    isDanger: true,
  },
]
