import { call } from '#shared/bus/call.ts'
import type { Params } from '#shared/contract/contract.ts'
import { type Foretold, volumeSnapshots } from '#shared/contracts/storage/volume-snapshots.ts'
import type { snapshots } from '#shared/contracts/vm/snapshots.ts'
import { ConflictError } from '#shared/errors.ts'
import { event, now } from '#shared/events/event.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import { apiPathOf, type VmRecord, vmRecords } from '../model.ts'
import { judgeFor } from '../quotas/judge.ts'
import { requireStatus, settle } from '../state/status.ts'
import { followVolumes } from './disks.ts'
import { putState, snapshotRecords, stateOf, volumesOf } from './model.ts'
import { requireReady, snapshotOf } from './restore.ts'
import { forgetSize } from './sizes.ts'
import { snapshotsOf } from './taking.ts'
import { clonesOfSnapshots, namesOf } from './with-vm.ts'

type Removing = { vm: string; node: string; snapshot: string; disks: { id: string; volume: string }[] }

const isOn = ({ status }: VmRecord) => status !== 'stopped'

/** Foretells the deletion of a snapshot in each volume. */
export async function foretell(vm: VmRecord, snapshot: string, disks: Removing['disks']): Promise<Foretold[]> {
  const words = { disks, node: vm.node, snapshot, is_running: isOn(vm) }
  return (await call(volumeSnapshots, 'foreseeDeletion', words, { timeoutMs: 30_000 })).data
}

/** Deletes the snapshot of one volume. Layers that the guest reads are merged by its hypervisor. */
async function removeDisk(
  op: Op,
  { vm: id, snapshot }: Removing,
  named: Removing['disks'][number],
  prefix: string,
  onBegin: () => void,
): Promise<void> {
  const what = `${named.id}/${named.volume}`
  const foretold = await op.step(`${prefix}planning ${what}`, async () => {
    const [found] = await foretell(await settle(id), snapshot, [named])
    if (found!.obstacle !== null) throw new ConflictError(found!.obstacle)
    return found!
  })
  onBegin()
  const vm = await vmRecords.require(id)
  const disk = vm.disks.find(({ pool, volume }) => pool === named.id && volume === named.volume)
  const { merge } = foretold
  const merged = await op.step(`${prefix}merging ${what}`, async () => {
    if (!merge || !disk) return { is_merged: false, merge_ms: null }
    const begunMs = performance.now()
    const is_merged = await snapshotsOf(vm).merge(vm, { disk: disk.id, ...merge }, { signal: op.signal })
    return { is_merged, merge_ms: performance.now() - begunMs }
  })
  const { plan, bytes } = foretold
  const words = { ...named, node: vm.node, snapshot, plan, bytes, ...merged }
  const left = await op.child(volumeSnapshots, 'remove', words, { name: `${prefix}deleting ${what}` })
  if (left && disk) await op.step(`${prefix}following ${what}`, async () => void (await followVolumes(id, [left])))
}

/** Has the children of a snapshot hang on its parent, and removes it. @returns its name; null when it was gone */
async function forget({ vm: id, snapshot }: Removing): Promise<string | null> {
  const record = await snapshotRecords.get(snapshot)
  if (!record) {
    await forgetSize(id, snapshot)
    return null
  }
  const { parent_id } = record
  for (const child of await snapshotRecords.all({ vm_id: id, parent_id: snapshot }))
    await snapshotRecords.updateWhere({ _id: child.id }, { set: { parent_id } })
  const state = await stateOf(id)
  if (state.current === snapshot) await putState({ ...state, current: parent_id })
  await snapshotsOf(await vmRecords.require(id)).drop(await vmRecords.require(id), snapshot)
  await snapshotRecords.removeWhere({ _id: snapshot })
  await forgetSize(id, snapshot)
  await judgeFor(record)
  return record.name
}

/** Deletes a snapshot, in the steps of an operation. @param prefix of their names, where one deletes several */
export async function runRemove(op: Op, removing: Removing, prefix = ''): Promise<null> {
  const { snapshot, disks } = removing
  let isBegun = false
  await op.step(`${prefix}marking`, () => mark(snapshot, 'deleting'), {
    // Once a merge was begun its content may be another one: it stays as being deleted, and can only be deleted again.
    undo: async () => !isBegun && mark(snapshot, 'ready'),
  })
  // A merge that was begun has changed the snapshot that goes: there is no way back.
  await op.commit()
  for (const named of disks) await removeDisk(op, removing, named, prefix, () => (isBegun = true))
  const name = await op.step(`${prefix}forgetting`, () => forget(removing))
  if (name !== null)
    op.emit(event('SnapshotDeleted', { vm_id: removing.vm, snapshot_id: snapshot, name, timestamp: now() }))
  return null
}

const mark = (id: string, state: 'ready' | 'deleting') => snapshotRecords.updateWhere({ _id: id }, { set: { state } })

/** Checks a deletion completely. @throws ConflictError with all that stands against it */
export async function planRemove({ id, snapshot_id }: Params<typeof snapshots, 'delete'>): Promise<Removing> {
  const snapshot = await snapshotOf(id, snapshot_id)
  // One whose deletion has failed is deleted again: the lock shows that no other operation does.
  if (snapshot.state !== 'deleting') requireReady(snapshot)
  if (snapshot.protected)
    throw new ConflictError(
      `Snapshot '${snapshot.name}' of '${id}' is protected: set protected to false first, with PATCH ${apiPathOf(id)}/snapshots/${snapshot_id}`,
    )
  const vm = await settle(id)
  requireStatus(vm, 'delete a snapshot of', ['running', 'paused', 'stopped'])
  const { before } = await stateOf(id)
  if (before?.snapshot === snapshot_id)
    throw new ConflictError(
      `Snapshot '${snapshot.name}' was restored and the virtual machine has not started since: start it, or undo the restore first`,
    )
  const clones = (await clonesOfSnapshots(id)).filter((clone) => clone.snapshot === snapshot_id)
  if (clones.length > 0)
    throw new ConflictError(
      `Snapshot '${snapshot.name}' of '${id}' cannot be deleted: linked clones read from it: ${namesOf(clones)}. Delete those first, or give them disks of their own by a full clone`,
      { details: { dependents: clones.map(({ user }) => user) } },
    )
  const disks = volumesOf(snapshot.disks)
  const obstacles = (await foretell(vm, snapshot_id, disks)).flatMap(({ obstacle }) => obstacle ?? [])
  if (obstacles.length > 0)
    throw new ConflictError(`Snapshot '${snapshot.name}' of '${id}' cannot be deleted now: ${obstacles.join('; ')}`, {
      details: { obstacles },
    })
  return { vm: id, node: vm.node, snapshot: snapshot_id, disks }
}

export const remove = operation({
  accept: async (params: Params<typeof snapshots, 'delete'>, { hold }) => {
    await hold(apiPathOf(params.id))
    await vmRecords.requireForChange(params.id)
    return planRemove(params)
  },
  run: (op, removing: Removing) => runRemove(op, removing),
})
