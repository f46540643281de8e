import { backups } from '#shared/contracts/storage/backups.ts'
import { viewsOf } from '#shared/db/cache/views.ts'
import { implement } from '#shared/service/implement.ts'
import { backupRecords, viewOf } from './model.ts'
import { prove } from './proof/boot.ts'
import { verify } from './proof/verify.ts'
import { remove } from './remove.ts'
import { restore } from './restore/restore.ts'
import { create, createFor } from './save/create.ts'

const views = viewsOf(backupRecords, viewOf)

export const backupService = implement(backups, {
  list: (query, { maySee }) => views.list(query, maySee),
  get: async ({ id }) => viewOf(await backupRecords.require(id)),
  create,
  createFor,
  update: async ({ id, ...given }) => viewOf(await backupRecords.change(id, () => ({ set: given }))),
  delete: remove,
  restore,
  verify,
  prove,
})
