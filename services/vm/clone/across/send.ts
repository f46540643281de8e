import { call } from '#shared/bus/call.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import type { Op } from '#shared/operation/kinds.ts'
import { driverOf } from '../../drivers/drivers.ts'
import { apiPathOf, type DiskRecord, type VmRecord } from '../../model.ts'
import { type ClonedDisk, undoDisk } from '../disks.ts'
import type { CloneInput } from '../input.ts'

/** Makes the volume of a disk on the node of the clone, and fills it through the connections to both nodes. */
export async function sendDisk(
  op: Op,
  { source, snapshot, vm }: CloneInput,
  { from: source_node, isCompressed, bytesPerSecond }: NonNullable<CloneInput['across']>,
  { source: from, target }: ClonedDisk,
  within: { before: number; total: number },
): Promise<DiskRecord> {
  const { pool: id, volume, format, size_bytes: size } = target
  const owner = apiPathOf(vm.id)
  const at = { node: vm.node, owner }
  const make = () =>
    call(volumesInternal, 'createFor', { ...at, id, name: volume, size, format }, { timeoutMs: 60_000 })
  const made = await op.step(`cloning_disk ${target.id}: making volume`, make, { undo: () => undoDisk(target, owner) })
  await op.child(
    volumesInternal,
    'copyAcross',
    {
      from: {
        id: from.pool,
        volume: from.volume,
        owner: apiPathOf(source),
        node: source_node,
        ...(snapshot !== undefined && { snapshot }),
      },
      to: { ...at, id, volume },
      is_compressed: isCompressed,
      ...(bytesPerSecond !== null && { bytes_per_second: bytesPerSecond }),
    },
    { name: `cloning_disk ${target.id}`, within },
  )
  return { ...target, source: made.source, format: made.format, size_bytes: made.size_bytes }
}

type Clone = Pick<VmRecord, 'id' | 'node' | 'name' | 'handle' | 'hypervisor'>
/** The key under which the state of a snapshot is kept on the node of a clone for a moment. */
const keyOf = ({ id }: Pick<Clone, 'id'>) => `clone-${id}`

/** Gives a clone on another node the state beside the disks that a snapshot of its source has. */
export async function carryState(source: VmRecord, snapshot: string, clone: Clone): Promise<void> {
  const { snapshots } = driverOf(source)
  const packed = await snapshots?.pack(source, snapshot)
  if (!snapshots || !packed) return
  await snapshots.unpack(clone, keyOf(clone), packed)
  await snapshots.restoreState(clone, keyOf(clone))
  await snapshots.drop(clone, keyOf(clone))
}

/** Removes what an interrupted {@link carryState} has left. */
export const dropCarried = async (clone: Clone): Promise<void> => driverOf(clone).snapshots?.drop(clone, keyOf(clone))
