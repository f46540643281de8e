import type { Recipient, StoreEncryption } from '#shared/contracts/storage/backup-keys.ts'
import type { Field } from '../../forms/fields.ts'
import { type Verb, Verbs } from '../../forms/verbs.tsx'
import { useQuery } from '../../live/cache.ts'
import { Card } from '../../widgets/layout.tsx'
import { Loaded } from '../../widgets/states.tsx'
import { ago } from '../../words/format.ts'
import { t } from '../../words/words.ts'
import './words.ts'

/** Fields of one recipient. @param of place among the parameters, with a dot at its end */
const recipientFields = (of = ''): Field[] => [
  { name: `${of}name`, label: 'f.name', isRequired: true, hint: 'hint.recipientName' },
  { name: `${of}recipient`, label: 'f.recipient', isRequired: true, hintText: 'age1…', autocomplete: 'off' },
]
const secondFields = (): Field[] => [
  { name: 'recipients.1.name', label: 'f.name', text: `${t('f.name')} (2)`, hint: 'hint.secondRecipient' },
  {
    name: 'recipients.1.recipient',
    label: 'f.recipient',
    text: `${t('f.recipient')} (2)`,
    hintText: 'age1…',
    autocomplete: 'off',
  },
]
const howToMakeOne = () => (
  <div class="note">
    {t('makeIdentity')}
    <pre>age-keygen -o identity.txt</pre>
  </div>
)

const storeVerbs: readonly Verb<StoreEncryption>[] = [
  {
    action: 'backup-store-keys.encrypt',
    label: 'verb.encrypt',
    params: ({ id }) => ({ id }),
    reason: ({ key_id }) => (key_id === null ? undefined : t('isEncrypted')),
    fields: () => [...recipientFields('recipients.0.'), ...secondFields()],
    // A form has fields by name, so that each has its violations; the action takes a list.
    prepare: ({ recipients, ...params }) => ({ ...params, recipients: Object.values(recipients as object) }),
    note: howToMakeOne,
  },
  {
    action: 'backup-store-keys.addRecipient',
    label: 'verb.addRecipient',
    params: ({ id }) => ({ id }),
    reason: ({ key_id }) => (key_id === null ? t('isNotEncrypted') : undefined),
    fields: () => recipientFields(),
    note: howToMakeOne,
  },
]

type Listed = Recipient & { pool: string; isLast: boolean }
const recipientVerbs: readonly Verb<Listed>[] = [
  {
    action: 'backup-store-keys.removeRecipient',
    label: 'verb.remove',
    params: ({ pool, name }) => ({ id: pool, name }),
    reason: ({ isLast }) => (isLast ? t('isLastRecipient') : undefined),
    confirm: ({ name }) => t('confirmRemoveRecipient', { name }),
    isDanger: true,
  },
]

const RecipientRow = ({ of }: { of: Listed }) => (
  <div class="row">
    <div class="grow">
      <b>{of.name}</b> <span class="dim">{ago(of.added_at)}</span>
      <div class="mono">{of.recipient}</div>
    </div>
    <Verbs item={of} verbs={recipientVerbs} shown={1} label={of.name} />
  </div>
)

function Details({ of }: { of: StoreEncryption }) {
  const { id, key_id, own_recipient, recipients } = of
  if (key_id === null) return <p class="dim">{t('encryptionOff')}</p>
  return (
    <div class="stack">
      <ul class="plain stack">
        <li>
          <span class="dim">{t('f.keyId')}</span>
          <div class="mono">{key_id}</div>
        </li>
        {recipients.map((each) => (
          <li key={each.name}>
            <RecipientRow of={{ ...each, pool: id, isLast: recipients.length === 1 }} />
          </li>
        ))}
        <li>
          <b>Horcrux</b> <span class="dim">{t('opensItself')}</span>
          <div class="mono">{own_recipient}</div>
        </li>
      </ul>
      <div class="dim">
        {t('withoutHorcrux')}
        <pre>node restore.mjs -i identity.txt</pre>
      </div>
    </div>
  )
}

/** Encryption of the backup store of a storage pool: on or off, its key, and who can open it. */
export function Encryption({ pool }: { pool: string }) {
  const encryption = useQuery('backup-store-keys.get', { id: pool })
  const { data } = encryption
  // Only the verb that is possible is shown as a button: a store is encrypted once, and never again in clear.
  const possible = data && storeVerbs.filter((verb) => verb.reason?.(data) === undefined)
  return (
    <Card title={t('encryption')} actions={possible && <Verbs item={data} verbs={possible} shown={1} label={pool} />}>
      <Loaded of={encryption} rows={2}>
        {(of) => <Details of={of} />}
      </Loaded>
    </Card>
  )
}
