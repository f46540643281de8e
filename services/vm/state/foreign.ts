import { isDeepStrictEqual } from 'node:util'
import { driverOf } from '../drivers/drivers.ts'
import { vmRecords } from '../model.ts'

/** Records the disks that others gave a guest. While a definition of ours is still to be written, nothing is recorded. */
export async function recordForeign(id: string): Promise<void> {
  for (let vm = await vmRecords.get(id); vm?.defined; vm = await vmRecords.get(id)) {
    const { foreign } = (await driverOf(vm).inventory?.read(vm)) ?? { foreign: [] }
    if (isDeepStrictEqual(vm.foreign_disks ?? [], foreign)) return
    if (await vmRecords.updateWhere({ _id: id, version: vm.version }, { set: { foreign_disks: foreign } })) return
  }
}
