import type { Params } from '#shared/contract/contract.ts'
import type { backups } from '#shared/contracts/storage/backups.ts'
import { ConflictError } from '#shared/errors.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import { apiPathOf, backupRecords } from './model.ts'
import { openStored } from './store/open-store.ts'

/** Deletes a backup: its manifest, then its record. The garbage collection frees its chunks. */
export async function runRemove(op: Op, backup: string, prefix = ''): Promise<null> {
  const mark = (state: 'deleting' | 'ready') => backupRecords.updateWhere({ _id: backup }, { set: { state } })
  await op.step(`${prefix}marking`, () => mark('deleting'), { undo: () => mark('ready') })
  await op.commit()
  await op.step(`${prefix}removing manifest`, async () => {
    const record = await backupRecords.get(backup)
    if (record?.manifest) await (await openStored(record.pool)).remove(record.manifest)
  })
  await op.step(`${prefix}forgetting`, async () => void (await backupRecords.removeWhere({ _id: backup })))
  return null
}

export const remove = operation({
  accept: async ({ id }: Params<typeof backups, 'delete'>, { hold }) => {
    await hold(apiPathOf(id))
    const record = await backupRecords.requireForChange(id)
    // One whose deletion has failed is deleted again; one that is being made is held by its operation.
    if (record.protected)
      throw new ConflictError(`Backup '${id}' is protected: set protected to false first, with PATCH ${apiPathOf(id)}`)
    return { backup: id }
  },
  run: (op: Op, { backup }: { backup: string }) => runRemove(op, backup),
})
