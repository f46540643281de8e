import { call } from '#shared/bus/call.ts'
import type { Params } from '#shared/contract/contract.ts'
import { permissions } from '#shared/contracts/access/permissions.ts'
import type { replicas } from '#shared/contracts/storage/replicas.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import { volumeRecords } from '../models.ts'
import { backingOf } from '../snapshots/records.ts'
import { purge } from '../snapshots/remove.ts'
import { undoVolume } from '../volumes/make.ts'
import { requireNoClones } from '../volumes/records.ts'
import { forgetGuestState, replicaPathOf, replicaRecords } from './model.ts'

type Removing = { replica: string }

export const remove = operation({
  accept: async ({ id }: Params<typeof replicas, 'delete'>, { hold }): Promise<Removing> => {
    const path = replicaPathOf(id)
    await hold(path)
    await replicaRecords.requireForChange(id)
    for (const { id: volume, snapshots = [] } of await volumeRecords.all({ used_by: path })) {
      await requireNoClones(volume, 'be deleted')
      for (const { id: point } of snapshots) await requireNoClones(backingOf(volume, point), 'be deleted')
    }
    return { replica: id }
  },
  run: async (op: Op, { replica }: Removing): Promise<null> => {
    const owner = replicaPathOf(replica)
    await op.commit()
    await op.step('deleting volumes', async () => {
      const record = await replicaRecords.get(replica)
      for (const { pool, name } of await volumeRecords.all({ used_by: owner })) {
        await purge({ disks: [{ id: pool, volume: name }], node: record!.node, owner })
        await undoVolume({ pool, name }, owner)
      }
    })
    await op.step('forgetting', async () => {
      for (const { id } of (await replicaRecords.get(replica))?.points ?? []) await forgetGuestState(replica, id)
      // A replica that the job makes anew has the same id.
      await call(permissions, 'forget', { path: owner })
      await replicaRecords.removeWhere({ _id: replica })
    })
    return null
  },
})
