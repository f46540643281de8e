import type { Selection } from '#shared/contracts/storage/backup-jobs.ts'
import type { Field } from '../../forms/fields.ts'
import { t, type Word } from '../../words/words.ts'

/** The virtual machines or containers of a job, in words. */
export function selected({ selection }: { selection: Selection }): string {
  switch (selection.kind) {
    case 'vm':
      return selection.vm_id
    case 'tag':
      return `tags:${selection.tag}`
    case 'container':
      return selection.container_id
    case 'label':
      return `labels:${selection.label}`
    case 'resource_pool':
      return selection.resource_pool
  }
}

/** Fields of a selection of containers, beside those of {@link selectionFields}. */
const containerFields: Field[] = [
  {
    name: 'selection.container_id',
    label: 'f.containerId',
    isRequired: true,
    when: (raw) => raw['selection.kind'] === 'container',
  },
  {
    name: 'selection.label',
    label: 'f.label',
    isRequired: true,
    hintText: 'tier=prod',
    when: (raw) => raw['selection.kind'] === 'label',
  },
]

export const selectionFields = (label: Word, withContainers = false): Field[] => [
  {
    name: 'selection.kind',
    label,
    kind: 'select',
    options: [
      ['vm', t('select.vm')],
      ['tag', t('select.tag')],
      ...(withContainers
        ? ([
            ['container', t('select.container')],
            ['label', t('select.label')],
          ] as [string, string][])
        : []),
      ['resource_pool', t(withContainers ? 'select.poolOfBoth' : 'select.resource_pool')],
    ],
  },
  ...(withContainers ? containerFields : []),
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
