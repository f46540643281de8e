import type { Container } from '#shared/contracts/container/containers.ts'
import type { Verb } from '../../forms/verbs.tsx'
import { t } from '../../words/words.ts'
import '../storage/backup-words.ts'

export const backUp: Verb<Container> = {
  action: 'container-backups.create',
  label: 'backUpContainer',
  params: ({ id }) => ({ container_id: id }),
  reason: ({ managed }) => (managed ? undefined : t('notManaged')),
  fields: () => [
    { name: 'pool', label: 'f.pool', isRequired: true, hint: 'hint.backupPool' },
    { name: 'description', label: 'f.description' },
    { name: 'pause', label: 'f.pauseIt' },
    { name: 'protected', label: 'f.protected' },
  ],
}
