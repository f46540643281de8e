import { call } from '#shared/bus/call.ts'
import type { Params } from '#shared/contract/contract.ts'
import type { devices } from '#shared/contracts/vm/devices.ts'
import { nameOfSource } from '#shared/contracts/storage/disk-source.ts'
import type { NewDisks } from '#shared/contracts/vm/hardware.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { ConflictError, type Violation } from '#shared/errors.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { type Accepting, operation } from '#shared/operation/kinds.ts'
import { allocateAll } from '../../lifecycle/allocate.ts'
import { driverOf } from '../../drivers/drivers.ts'
import { type DiskRecord, apiPathOf, type VmRecord, viewOf, vmRecords } from '../../model.ts'
import { releaseBases } from '../bases.ts'
import { inventoryOf, requireOwnPlace } from '../foreign.ts'
import { isInPool, planDisks, type PlannedDisk } from '../plan.ts'
import { countRoom, requireRoom } from '../../lifecycle/quota-reservation.ts'
import { requireStorage } from '../../lifecycle/require-storage.ts'
import { requireNoSnapshotOf } from '../../snapshots/with-vm.ts'
import { settleAtEnd } from '../../state/status.ts'
import { throwAll } from '#shared/service/violations.ts'
import { freeVolume } from './free-volume.ts'
import { diskIn } from './named.ts'
import { free, give, isSameDevice, ofItem, plugAgain, requireForDevices, takeAway, undoGive } from './apply.ts'

/** @throws ConflictError naming the linked clones that read from a disk, which therefore cannot change */
export async function requireNoBase(vm: VmRecord, { pool, volume, id }: DiskRecord, what: string): Promise<void> {
  const { data } = await call(volumesInternal, 'clonesOf', { owners: [apiPathOf(vm.id)] })
  const clones = data.filter((each) => each.volume === `${pool}/${volume}`).map(({ clone }) => clone)
  if (clones.length === 0) return
  throw new ConflictError(
    `Disk ${id} of '${vm.id}' cannot ${what}: it is the backing file of ${clones.length} linked clone(s): ${clones.slice(0, 10).join(', ')}`,
    { details: { clones } },
  )
}

type Given = Params<typeof devices, 'attachDisk'>

/** The request as a disk of a new VM. */
function wantedOf({ id: _, size, image, volume, format, readonly, ...disk }: Given, violations: Violation[]): NewDisks {
  const say = (field: string, message: string) => violations.push({ field, code: 'contradiction', message })
  const isNew = size !== undefined || image !== undefined
  if (isNew === (volume !== undefined))
    say('size', 'must be given for a new disk, image for a copy of an image, or volume for an existing one')
  if (volume !== undefined && format !== undefined) say('format', 'is that of the volume')
  if (isNew && readonly) say('readonly', 'is for an existing volume')
  const made = { ...disk, ...(format !== undefined && { format }) }
  if (image !== undefined) return [{ ...made, image, ...(size !== undefined && { size }) }]
  if (size !== undefined) return [{ ...made, size }]
  return volume === undefined ? [] : [{ ...disk, volume, readonly: readonly ?? false }]
}

async function planned(vm: VmRecord, given: Given): Promise<PlannedDisk> {
  const violations: Violation[] = []
  const wanted = wantedOf(given, violations)
  throwAll(violations)
  const { takenPlaces } = await inventoryOf(vm)
  const used = [...vm.disks.map(({ id }) => id), ...takenPlaces(given.bus)]
  const places = [driverOf(vm).naming.nextPlace(used, given.bus)]
  const names = [await freeVolume(vm, given.pool)]
  const [disk] = await planDisks(vm.id, vm.node, wanted, violations, { places, names })
  if (disk) {
    const after = { ...vm, disks: [...vm.disks, disk.disk] }
    const lacking = await driverOf(vm).check(await reach(vm.node), after)
    violations.push(...lacking.filter(({ field }) => field.startsWith(`disks.${vm.disks.length}`)))
  }
  throwAll(ofItem(violations))
  return disk!
}

export const attachDisk = operation({
  accept: async (given: Given, accepting: Accepting) => {
    const { id, pool } = given
    await accepting.hold(apiPathOf(id))
    const vm = await requireForDevices(id, 'attach a disk to')
    requireStorage(accepting, [pool])
    const disk = await planned(vm, given)
    await requireRoom(vm, { ...vm, disks: [...vm.disks, disk.disk] }, () => vmRecords.require(id))
    return { id, planned: disk }
  },
  run: async (op, { id, planned: wanted }) => {
    const read = () => vmRecords.require(id)
    const count = async () => countRoom(await read())
    const before = (await read()).disks.filter((disk) => !isSameDevice(disk, wanted.disk))
    await op.step('taking room', async () => countRoom({ ...(await read()), disks: [...before, wanted.disk] }), {
      undo: count,
    })
    const [disk] = await allocateAll(op, await read(), [wanted])
    // No undo from here: a guest that is still starting cannot unplug the disk.
    await op.commit()
    const attach = async () => {
      await give(id, { disk: disk! })
      await count()
    }
    await op.step('attaching', attach, { undo: () => undoGive(id, { disk: disk! }) })
    return viewOf(await settleAtEnd(id))
  },
})

export const detachDisk = operation({
  accept: async ({ id, disk: named, purge, timeout }: Params<typeof devices, 'detachDisk'>, { hold }: Accepting) => {
    await hold(apiPathOf(id))
    const vm = await requireForDevices(id, 'detach a disk from')
    const disk = diskIn(vm, named)
    await requireOwnPlace(vm, disk, 'detach')
    if (purge && !isInPool(disk))
      throw new ConflictError(
        `Disk ${disk.id} of '${id}' is in no pool: Horcrux does not delete ${nameOfSource(disk.source)}`,
      )
    if (purge) await requireNoBase(vm, disk, 'be deleted')
    if (purge) await requireNoSnapshotOf(vm, disk)
    return { id, disk, purge, timeout }
  },
  run: async (op, { id, disk, purge, timeout }) => {
    const vm = await vmRecords.require(id)
    await op.step('waiting for the guest', () => free(vm, { disk }, timeout, op.signal), {
      undo: () => plugAgain(id, { disk }),
    })
    await op.commit()
    // A disk whose bytes may be gone is not attached again.
    const undo = purge ? undefined : () => give(id, { disk })
    await op.step('detaching', () => takeAway(id, { disk }), undo && { undo })
    await op.step(`${purge ? 'deleting' : 'releasing'} disk ${disk.id}`, async () => {
      const words = isInPool(disk) && { id: disk.pool, volume: disk.volume, owner: apiPathOf(id) }
      if (words) await call(volumesInternal, purge ? 'deleteFor' : 'detach', words)
      else await releaseBases(id, disk)
      await countRoom(await vmRecords.require(id))
    })
    return viewOf(await settleAtEnd(id))
  },
})
