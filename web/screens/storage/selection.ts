import type { Selection } from '#shared/contracts/storage/backup-jobs.ts'
import type { Field } from '../../forms/fields.ts'
import { t, type Word } from '../../words/words.ts'

/** The virtual machines of a job, in words. */
export function selected({ selection }: { selection: Selection }): string {
  if (selection.kind === 'vm') return selection.vm_id
  return selection.kind === 'tag' ? `tags:${selection.tag}` : selection.resource_pool
}

export const selectionFields = (label: Word): Field[] => [
  {
    name: 'selection.kind',
    label,
    kind: 'select',
    options: [
      ['vm', t('select.vm')],
      ['tag', t('select.tag')],
      ['resource_pool', t('select.resource_pool')],
    ],
  },
  { name: 'selection.vm_id', label: 'f.vmId', isRequired: true, when: (raw) => raw['selection.kind'] === 'vm' },
  { name: 'selection.tag', label: 'f.tag', isRequired: true, when: (raw) => raw['selection.kind'] === 'tag' },
  {
    name: 'selection.resource_pool',
    label: 'f.resourcePool',
    isRequired: true,
    when: (raw) => raw['selection.kind'] === 'resource_pool',
  },
]

/** The time zone of the browser. */
export const zone = () => Intl.DateTimeFormat().resolvedOptions().timeZone
