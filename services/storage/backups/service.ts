import { backups } from '#shared/contracts/storage/backups.ts'
import { implement } from '#shared/service/implement.ts'
import { backupRecords, viewOf } from './model.ts'
import { prove } from './proof/boot.ts'
import { verify } from './proof/verify.ts'
import { remove } from './remove.ts'
import { restore } from './restore/restore.ts'
import { create, createFor } from './save/create.ts'

export const backupService = implement(backups, {
  list: async (query, { maySee }) => {
    const page = await backupRecords.list(query, maySee)
    return { ...page, data: page.data.map(viewOf) }
  },
  get: async ({ id }) => viewOf(await backupRecords.require(id)),
  create,
  createFor,
  update: async ({ id, ...given }) => viewOf(await backupRecords.change(id, () => ({ set: given }))),
  delete: remove,
  restore,
  verify,
  prove,
})
