import { isDeepStrictEqual } from 'node:util'
import { driverOf } from '../drivers/drivers.ts'
import { waiting } from '../hardware/hardware.ts'
import { type DiskRecord, type VmRecord, vmRecords } from '../model.ts'
import { bootIdOf } from './boot-id.ts'

/**
 * Records the disks that others gave a guest, and those of its record that it has let go of: it gets them back at its next
 * start. While a definition of ours is still to be written, nothing is recorded.
 */
export async function recordForeign(id: string): Promise<void> {
  for (let vm = await vmRecords.get(id); vm?.defined; vm = await vmRecords.get(id)) {
    const { foreign, lost } = (await driverOf(vm).inventory?.read(vm)) ?? { foreign: [], lost: [] }
    const isOther = !isDeepStrictEqual(vm.foreign_disks ?? [], foreign)
    const pending = pendingWithout(vm, lost)
    if (!isOther && !pending) return
    const set = {
      ...(isOther && { foreign_disks: foreign }),
      ...(pending && { ...waiting(pending), boot_id: await bootIdOf(vm) }),
    }
    if (await vmRecords.updateWhere({ _id: id, version: vm.version }, { set })) return
  }
}

/** The pending changes of a guest that runs without disks of its record; undefined when they are as recorded. */
export function pendingWithout(
  { status, pending, disks }: Pick<VmRecord, 'status' | 'pending' | 'disks'>,
  lost: string[],
): VmRecord['pending'] | undefined {
  if (status === 'stopped' || lost.length === 0) return undefined
  const known = pending.find(({ field }) => field === 'disks')
  // A pending change of the field `disks` has lists of disks.
  const running = (known?.current as DiskRecord[] | undefined) ?? disks
  const current = running.filter(({ id }) => !lost.includes(id))
  if (current.length === running.length) return undefined
  return [...pending.filter((each) => each !== known), { field: 'disks', current, next: disks }]
}
