import type { StoreEncryption } from '#shared/contracts/storage/backup-keys.ts'
import { storePathOf } from '../model.ts'
import type { KeyRecord } from './model.ts'

/** Changes of the key file of a store hold it. */
export const keysPathOf = (pool: string) => `${storePathOf(pool)}/keys`

export const viewOf = (
  pool: string,
  record: Pick<KeyRecord, 'key_id' | 'recipients' | 'own_recipient'> | null,
): StoreEncryption => ({
  id: pool,
  key_id: record?.key_id ?? null,
  recipients: record?.recipients ?? [],
  own_recipient: record?.own_recipient ?? null,
})
