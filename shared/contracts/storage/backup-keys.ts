import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { ById, Id, Name, nullable, strict, Time } from '#shared/contracts/common.ts'

const AgeRecipient = Type.String({
  pattern: '^age1[02-9ac-hj-np-z]{58}$',
  // Its checksum does not fit: a store that is encrypted for a copied example could be opened by nobody.
  examples: [`age1${'q'.repeat(58)}`],
  errorMessage: 'must be an X25519 recipient of age: age1 and 58 characters, as age-keygen writes it',
  description: 'Public half of an identity of age (X25519). The identity itself never comes to Horcrux',
})

const GivenRecipient = strict({
  name: Type.String({ ...Name, description: 'Names it within the store' }),
  recipient: AgeRecipient,
})
export const Recipient = strict({ ...GivenRecipient.properties, added_at: Time })
export type Recipient = Static<typeof Recipient>

export const StoreEncryption = strict({
  id: Type.String({ ...Id, description: 'Storage pool that has the backup store' }),
  key_id: nullable(Type.String({ description: 'Identifies the data key; null: the store is not encrypted' })),
  recipients: Type.Array(Recipient, { description: 'Each opens the store with its identity' }),
  own_recipient: nullable(Type.String({ description: 'Recipient of Horcrux, which opens the store as well' })),
})
export type StoreEncryption = Static<typeof StoreEncryption>

export const mostRecipients = 20
const changes = 'DatastoreAllocate on /api/storage/pools/{id}' as const

export const backupStoreKeys = contract('backup-store-keys', {
  get: {
    does: 'Get the encryption of a backup store: its recipients, and the id of its key',
    rest: 'GET /backup-stores/{id}/encryption',
    can: 'DatastoreAudit on /api/storage/pools/{id}',
    params: ById,
    result: StoreEncryption,
  },
  encrypt: {
    does: 'Encrypt the backup store of a storage pool from now on; it has no backups yet',
    rest: 'POST /backup-stores/{id}/encryption',
    can: changes,
    operation: true,
    audit: 'config_changed',
    params: strict({
      id: Id,
      recipients: Type.Array(GivenRecipient, {
        minItems: 1,
        maxItems: mostRecipients,
        description: 'Besides Horcrux itself; one at least, so that the backups outlive this Horcrux',
      }),
    }),
    result: StoreEncryption,
  },
  addRecipient: {
    does: 'Add a recipient to an encrypted backup store; its identity opens all backups, also earlier ones',
    rest: 'POST /backup-stores/{id}/recipients',
    can: changes,
    operation: true,
    audit: 'config_changed',
    params: strict({ id: Id, ...GivenRecipient.properties }),
    result: StoreEncryption,
  },
  removeRecipient: {
    does: 'Remove a recipient from an encrypted backup store; a copy of the key file that it has kept still opens the store',
    rest: 'DELETE /backup-stores/{id}/recipients/{name}',
    can: changes,
    operation: true,
    audit: 'config_changed',
    params: strict({ id: Id, name: Name }),
    result: StoreEncryption,
  },
})
