import { Type } from 'typebox'
import { Id, Time } from '#shared/contracts/common.ts'
import { Recipient } from '#shared/contracts/storage/backup-keys.ts'
import { collection } from '#shared/db/collection.ts'

/** Keys of encrypted backup stores, by storage pool. A record stays for as long as its store may be opened again. */
export const keyRecords = collection(
  'backup-store-keys',
  Type.Object({
    id: Id,
    key_id: Type.String({ description: 'Identifies the data key' }),
    recipients: Type.Array(Recipient),
    own_recipient: Type.String({ description: 'Public half of the identity' }),
    sealed_identity: Type.String({
      description: 'Identity of Horcrux for this store, encrypted with HORCRUX_SECRET_KEY',
    }),
    key_file: Type.String({
      description:
        'Base64. The data key, encrypted for all recipients. The copy in the store is never read: a writer of the store could have replaced it',
    }),
    created_at: Time,
    updated_at: Time,
  }),
  {
    kind: 'Key of backup store',
    resource: {
      path: '/api/backup-stores/{id}/encryption',
      sees: 'DatastoreAudit on /api/storage/pools/{id}',
    },
  },
)
export type KeyRecord = Awaited<ReturnType<typeof keyRecords.require>>
