import type { Proof } from '#shared/contracts/storage/backup-proofs.ts'
import type { Field } from '../../forms/fields.ts'
import { ago } from '../../words/format.ts'
import { t } from '../../words/words.ts'

export const proofOf = (proof: Proof | null) => (proof === null ? '–' : proof.ok ? ago(proof.at) : `⚠ ${proof.error}`)

/** The sign by which a guest counts as booted. */
export const bootCheckFields = (): Field[] => [
  {
    name: 'check.kind',
    label: 'f.bootCheck',
    kind: 'select',
    options: [
      ['agent', t('check.agent')],
      ['serial', t('check.serial')],
      ['running', t('check.running')],
    ],
  },
  { name: 'check.text', label: 'f.serialText', isRequired: true, when: (raw) => raw['check.kind'] === 'serial' },
  { name: 'check.seconds', label: 'f.seconds', hint: 'hint.bootSeconds' },
]
