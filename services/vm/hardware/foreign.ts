import { nameOfSource } from '#shared/contracts/storage/disk-source.ts'
import { ConflictError } from '#shared/errors.ts'
import { driverOf } from '../drivers/drivers.ts'
import type { ForeignDisk } from '../drivers/parts.ts'
import type { DiskRecord, VmRecord } from '../model.ts'

const none = { foreign: [], lost: [], takenPlaces: () => [] }

/** The disks that a guest has at its host beside those of its record, and the places that are taken there. */
export const inventoryOf = async (vm: VmRecord) => (await driverOf(vm).inventory?.read(vm)) ?? none

const named = ({ id, source }: ForeignDisk) => `${id} (${source})`

/** @throws ConflictError naming the disks of a guest that a copy of its record would lack */
export async function requireNoForeign(vm: VmRecord, action: string): Promise<void> {
  const { foreign } = await inventoryOf(vm)
  const disks = foreign.filter(({ device }) => device === 'disk' || device === 'lun')
  if (disks.length === 0) return
  throw new ConflictError(
    `To ${action} '${vm.id}' would leave out disks that Horcrux cannot copy: ${disks.map(named).join(', ')}. Detach them at the node first, or copy their data into a disk of a storage pool`,
    { details: { foreign_disks: disks } },
  )
}

/** @throws ConflictError when the guest has another disk in the place of this one, such as an overlay of a snapshot */
export async function requireOwnPlace(vm: VmRecord, { id, source }: DiskRecord, action: string): Promise<void> {
  const other = (await inventoryOf(vm)).foreign.find((each) => each.id === id)
  if (!other) return
  throw new ConflictError(
    `To ${action} ${id} of '${vm.id}' is refused: the guest has another disk there, ${other.source} instead of ${nameOfSource(source)}. It was changed by other means; change it back first`,
    { details: { foreign_disks: [other] } },
  )
}
