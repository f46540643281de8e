import { call } from '#shared/bus/call.ts'
import { volumeSnapshots } from '#shared/contracts/storage/volume-snapshots.ts'
import { driverOf } from '../drivers/drivers.ts'
import { vmRecords } from '../model.ts'
import { putState, snapshotRecords, stateOf, volumesOf } from './model.ts'

/** Ends the time in which a restore can be undone: deletes the state of before it. Repeating it is fine. */
export async function endRestore(id: string): Promise<void> {
  const { before, current } = await stateOf(id)
  if (!before) return
  const [vm, snapshot] = [await vmRecords.require(id), await snapshotRecords.get(before.snapshot)]
  if (snapshot) {
    const words = { disks: volumesOf(snapshot.disks), node: vm.node, head: before.head }
    await call(volumeSnapshots, 'discard', words, { timeoutMs: 60_000 })
  }
  await driverOf(vm).snapshots?.drop(vm, before.head)
  await putState({ id, current })
}
