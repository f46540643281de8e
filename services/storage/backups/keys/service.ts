import { backupStoreKeys } from '#shared/contracts/storage/backup-keys.ts'
import { implement } from '#shared/service/implement.ts'
import { poolRecords } from '../../models.ts'
import { addRecipient, removeRecipient } from './change.ts'
import { encrypt } from './encrypt.ts'
import { keyRecords } from './model.ts'
import { viewOf } from './view.ts'

export const backupStoreKeyService = implement(backupStoreKeys, {
  get: async ({ id }) => {
    await poolRecords.require(id)
    return viewOf(id, await keyRecords.get(id))
  },
  encrypt,
  addRecipient,
  removeRecipient,
})
