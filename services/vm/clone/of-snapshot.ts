import { call } from '#shared/bus/call.ts'
import { volumeSnapshots } from '#shared/contracts/storage/volume-snapshots.ts'
import type { CloneMode } from '#shared/contracts/storage/volumes.ts'
import { ConflictError, type Violation } from '#shared/errors.ts'
import type { Pooled } from '../hardware/plan.ts'
import { apiPathOf, type VmRecord, vmRecords } from '../model.ts'
import { restoredHardwareOf, volumesOf } from '../snapshots/model.ts'
import { requireReady, restoredDisks, snapshotOf } from '../snapshots/restore.ts'

/**
 * The source of a clone as it was at a snapshot. It may run: the content of a snapshot does not change.
 * @throws NotFoundError, ConflictError for a snapshot that cannot be cloned
 */
export async function asOfSnapshot(
  id: string,
  snapshotId: string,
  mode: CloneMode,
  violations: Violation[],
): Promise<VmRecord & { disks: Pooled[] }> {
  const vm = await vmRecords.require(id)
  const snapshot = await snapshotOf(id, snapshotId)
  requireReady(snapshot)
  if (snapshot.has_tpm)
    throw new ConflictError(
      `Snapshot '${snapshot.name}' of '${id}' cannot be cloned: it has the state of a TPM, and what is sealed with its keys could not be opened in the clone`,
    )
  const words = { disks: volumesOf(snapshot.disks), node: vm.node, owner: apiPathOf(id), snapshot: snapshotId }
  const { data } = await call(volumeSnapshots, 'foreseeClone', words, { timeoutMs: 30_000 })
  const unable = data.filter(({ linked }) => !linked).map((each) => each.id)
  if (mode === 'linked' && unable.length > 0)
    violations.push({
      field: 'mode',
      code: 'unsupported',
      message: `no linked clones can be made of the snapshots of ${unable.join(', ')}: clone in full`,
    })
  const sizeOf = ({ pool, volume }: Pooled) => data.find((each) => each.id === `${pool}/${volume}`)?.size_bytes
  const disks = restoredDisks(vm, snapshot).map((disk) =>
    Object.assign({}, disk, { size_bytes: sizeOf(disk) ?? disk.size_bytes }),
  )
  return { ...vm, ...restoredHardwareOf(snapshot.config), disks }
}
