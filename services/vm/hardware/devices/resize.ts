import { call } from '#shared/bus/call.ts'
import type { Params } from '#shared/contract/contract.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import type { devices } from '#shared/contracts/vm/devices.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { ConflictError } from '#shared/errors.ts'
import { type Accepting, operation } from '#shared/operation/kinds.ts'
import { driverOf } from '../../drivers/drivers.ts'
import { apiPathOf, type DiskRecord, viewOf, vmRecords } from '../../model.ts'
import { requireOwnPlace } from '../foreign.ts'
import { isInPool, type Pooled } from '../plan.ts'
import { countRoom, requireRoom } from '../../lifecycle/quota-reservation.ts'
import { requireStorage } from '../../lifecycle/require-storage.ts'
import { settleAtEnd } from '../../state/status.ts'
import { isSameDevice, requireForDevices } from './apply.ts'
import { requireNoBase } from './disks.ts'
import { diskIn } from './named.ts'

type Sized = { id: string; disk: Pooled; size: number }

async function accept(
  { id, disk: named, size }: Params<typeof devices, 'resizeDisk'>,
  accepting: Accepting,
): Promise<Sized> {
  await accepting.hold(apiPathOf(id))
  const vm = await requireForDevices(id, 'resize a disk of')
  const disk = diskIn(vm, named)
  await requireOwnPlace(vm, disk, 'resize')
  const refuse = (why: string) => new ConflictError(`Disk ${disk.id} of '${id}' ${why}`)
  if (!isInPool(disk)) throw refuse('is in no pool: it is resized where it comes from')
  requireStorage(accepting, [disk.pool])
  if (disk.readonly) throw refuse('is read-only')
  if (size < disk.size_bytes) throw refuse(`has ${disk.size_bytes} bytes; making it smaller would cut off data`)
  const { capabilities, type } = await call(pools, 'get', { id: disk.pool })
  if (vm.status !== 'stopped' && !capabilities.live_resize)
    throw refuse(`is in a pool of type ${type}, where disks grow while the virtual machine is off`)
  await requireNoBase(vm, disk, 'be resized')
  await requireRoom(vm, { ...vm, disks: vm.disks.map((each) => grown(each, disk, size)) }, () => vmRecords.require(id))
  return { id, disk, size }
}

const grown = <D extends Pick<DiskRecord, 'id' | 'device_id' | 'size_bytes'>>(
  disk: D,
  wanted: Pooled,
  size: number,
): D => (isSameDevice(disk, wanted) ? { ...disk, size_bytes: size } : disk)

/** Grows the bytes of a disk: by the hypervisor while the guest runs, else by the storage, whose record follows. */
async function grow({ id, disk, size }: Sized): Promise<void> {
  const vm = await vmRecords.require(id)
  const driver = driverOf(vm)
  if ((await driver.status(vm)).status !== 'stopped') await driver.devices?.grow(vm, disk, size)
  await call(volumesInternal, 'growFor', { id: disk.pool, volume: disk.volume, size, owner: apiPathOf(id) })
}

async function record({ id, disk, size }: Sized): Promise<void> {
  const vm = await vmRecords.change(id, ({ disks, pending }) => ({
    set: {
      disks: disks.map((each) => grown(each, disk, size)),
      pending: pending.map((each) =>
        each.field === 'disks' ? { ...each, ...grownIn(each.current, 'current'), ...grownIn(each.next, 'next') } : each,
      ),
    },
  }))
  await countRoom(vm)

  function grownIn(disks: unknown, key: 'current' | 'next') {
    // A pending change of the field `disks` has lists of disks.
    return { [key]: (disks as Pooled[]).map((each) => grown(each, disk, size)) }
  }
}

export const resizeDisk = operation({
  accept,
  run: async (op, wanted: Sized) => {
    const { id, disk, size } = wanted
    const counted = async () => {
      const vm = await vmRecords.require(id)
      return countRoom({ ...vm, disks: vm.disks.map((each) => grown(each, disk, size)) })
    }
    await op.step('taking room', counted, { undo: async () => countRoom(await vmRecords.require(id)) })
    // Growing cannot be undone.
    await op.commit()
    await op.step('growing', () => grow(wanted))
    await op.step('recording', () => record(wanted))
    return viewOf(await settleAtEnd(id))
  },
})
