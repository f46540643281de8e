import { call } from '#shared/bus/call.ts'
import { volumeSnapshots } from '#shared/contracts/storage/volume-snapshots.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { ConflictError } from '#shared/errors.ts'
import { driverOf } from '../drivers/drivers.ts'
import type { Guest } from '../drivers/guest.ts'
import { isInPool, type Pooled } from '../hardware/plan.ts'
import { apiPathOf, type VmRecord } from '../model.ts'
import { snapshotRecords, snapshotStates, stateOf, volumesOf } from './model.ts'
import { snapshotSizes } from './sizes.ts'

/**
 * Checks that a VM can be deleted with its snapshots.
 * @returns the ids of all that the node keeps for them
 * @throws ConflictError for snapshots that would outlive the VM
 */
export async function requireDeletable(vm: VmRecord, purge: boolean): Promise<string[]> {
  const all = await snapshotRecords.all({ vm_id: vm.id })
  const { before } = await stateOf(vm.id)
  if (all.length > 0 && !purge)
    throw new ConflictError(
      `Virtual machine '${vm.id}' has ${all.length} snapshot(s), which need its disks: delete them first, or the virtual machine with purge`,
      { details: { snapshots: all.map(({ id }) => id) } },
    )
  const kept = all.filter((snapshot) => snapshot.protected)
  if (kept.length > 0)
    throw new ConflictError(
      `Virtual machine '${vm.id}' has ${kept.length} protected snapshot(s): set protected to false first, of ${kept.map(({ name }) => name).join(', ')}`,
      { details: { snapshots: kept.map(({ id }) => id) } },
    )
  const clones = purge ? await clonesOfSnapshots(vm.id) : []
  if (clones.length > 0)
    throw new ConflictError(
      `Virtual machine '${vm.id}' has snapshots that linked clones read from: ${namesOf(clones)}. Delete those first`,
      { details: { linked_clones: clones.map(({ user }) => user) } },
    )
  const own = new Set(vm.disks.map(({ pool, volume }) => `${pool}/${volume}`))
  for (const { name, disks } of all) {
    const other = disks.find(({ pool, volume }) => !own.has(`${pool}/${volume}`))
    if (other)
      throw new ConflictError(
        `Snapshot '${name}' of '${vm.id}' has a state of volume '${other.pool}/${other.volume}', which the virtual machine does not have any more: delete the snapshot first`,
      )
  }
  return [...all.map(({ id }) => id), ...(before ? [before.head] : [])]
}

/** The linked clones of the snapshots of a VM: the paths of their VMs, or their volumes. */
export async function clonesOfSnapshots(id: string): Promise<{ snapshot: string; user: string }[]> {
  const { data } = await call(volumesInternal, 'clonesOf', { owners: [apiPathOf(id)] })
  const all = data.flatMap(({ snapshot, clone, used_by }) =>
    snapshot === null ? [] : [{ snapshot, user: used_by ?? `volume ${clone}` }],
  )
  return [...new Map(all.map((each) => [`${each.snapshot} ${each.user}`, each])).values()]
}

const mostNames = 10
export const namesOf = (clones: readonly { user: string }[]): string =>
  `${[...new Set(clones.map(({ user }) => user))].slice(0, mostNames).join(', ')}${clones.length > mostNames ? ' …' : ''}`

/** Deletes the bytes of all snapshots of a VM that is deleted with its disks. Repeating it is fine. */
export async function purgeSnapshots(
  vm: Pick<VmRecord, 'hypervisor'> & Guest & { disks: Pooled[] },
  kept: string[],
): Promise<void> {
  const words = { disks: volumesOf(vm.disks), node: vm.node, owner: apiPathOf(vm.id) }
  await call(volumeSnapshots, 'purge', words, { timeoutMs: 120_000 })
  for (const key of kept) await driverOf(vm).snapshots?.drop(vm, key)
  await snapshotRecords.removeWhere({ vm_id: vm.id })
  await snapshotStates.removeWhere({ _id: vm.id })
  await snapshotSizes.removeWhere({ _id: vm.id })
}

/** @throws ConflictError for a disk of which snapshots have a state, and which therefore cannot be deleted */
export async function requireNoSnapshotOf(vm: VmRecord, disk: VmRecord['disks'][number]): Promise<void> {
  if (!isInPool(disk)) return
  const { snapshots } = await call(volumes, 'get', { id: disk.pool, volume: disk.volume })
  if (snapshots === 0) return
  throw new ConflictError(
    `Disk ${disk.id} of '${vm.id}' cannot be deleted: ${snapshots} snapshot(s) have a state of it. Delete those first, or detach it without purge`,
  )
}
