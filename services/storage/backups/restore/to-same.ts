import { requireRight } from '#shared/access/require-right.ts'
import { call } from '#shared/bus/call.ts'
import type { Params } from '#shared/contract/contract.ts'
import type { backups, RestorePlan } from '#shared/contracts/storage/backups.ts'
import { snapshots } from '#shared/contracts/vm/snapshots.ts'
import { vmBackups } from '#shared/contracts/vm/vm-backups.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { ConflictError, unpackError } from '#shared/errors.ts'
import { idOfSeed } from '#shared/ids.ts'
import type { Accepting, Op } from '#shared/operation/kinds.ts'
import { waitForEnd } from '#shared/operation/wait.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { openPool } from '../../pools/open-pool.ts'
import { restoreIn } from '../../snapshots/records.ts'
import { discard, open } from '../../snapshots/restore.ts'
import { findVolume } from '../../volumes/records.ts'
import { type BackupRecord, backupRecords } from '../model.ts'
import { deleteNamed } from '../save/snapshot.ts'
import type { VmManifest } from '../store/manifest.ts'
import { manifestOf, openStore } from '../store/open-store.ts'
import { restoreImage } from './images.ts'

type Given = Params<typeof backups, 'restore'>
export type RestoringSame = {
  to: 'same'
  backup: string
  vm: string
  node: string
  /** Id of the heads that are filled. */
  head: string
  snapshotName: string
  start: boolean
  disks: { pool: string; volume: string }[]
}

/** Everything that stands against giving the disks of a VM the bytes of a backup. */
export function obstaclesOf(vm: Pick<Vm, 'disks' | 'status'>, disks: VmManifest['disks']): string[] {
  const found: string[] = []
  if (vm.status !== 'stopped') found.push(`it is ${vm.status}: stop it first`)
  const written = vm.disks.filter(({ readonly }) => !readonly)
  for (const { id, pool, volume, size_bytes } of disks) {
    const present = written.find((disk) => disk.pool === pool && disk.volume === volume)
    if (!present) found.push(`disk ${id} of the backup, ${pool}/${volume}, is not one of its disks now`)
    else if (present.size_bytes !== size_bytes)
      found.push(`disk ${present.id} has ${present.size_bytes} bytes now and ${size_bytes} in the backup`)
  }
  for (const { id, pool, volume } of written)
    if (!disks.some((disk) => disk.pool === pool && disk.volume === volume))
      found.push(`the backup has nothing of its disk ${id}: detach it first`)
  return found
}

/** Checks a restore to the VM that a backup is of, without effects. @throws ConflictError with all that stands against it */
export async function planSame(
  backup: BackupRecord,
  _given: Given,
  asked: Call,
): Promise<{ plan: Omit<RestorePlan, 'plan_id'>; node: string }> {
  const manifest = await manifestOf(backup)
  requireRight(asked, 'VmConfig', `/api/vms/${manifest.vm_id}`)
  const vm = await call(vms, 'get', { id: manifest.vm_id })
  const obstacles = obstaclesOf(vm, manifest.disks)
  if (obstacles.length > 0)
    throw new ConflictError(
      `Backup '${backup.id}' cannot be restored to virtual machine '${vm.id}': ${obstacles.join('; ')}. A restore to a new one is possible`,
      { details: { obstacles } },
    )
  const disks = manifest.disks.map(({ id, pool, volume, format, size_bytes }) => ({
    id,
    pool,
    volume,
    format,
    size_bytes,
  }))
  const { id: vm_id, name, node } = vm
  const differences = [
    ...(manifest.vm_name === name
      ? []
      : [{ field: 'name', backup: manifest.vm_name, restored: name, reason: 'it keeps its name' }]),
    ...(manifest.node === node
      ? []
      : [{ field: 'node', backup: manifest.node, restored: node, reason: 'it stays on its node' }]),
  ]
  return { plan: { to: 'same', vm_id, name, node, disks, data_bytes: backup.data_bytes, differences }, node }
}

export async function acceptSame(backup: BackupRecord, given: Given, accepting: Accepting): Promise<RestoringSame> {
  const { plan, node } = await planSame(backup, given, accepting)
  const head = idOfSeed(accepting.operationId, 'head')
  return {
    to: 'same',
    backup: backup.id,
    vm: plan.vm_id,
    node,
    head,
    snapshotName: `before-restore-${head}`,
    start: given.start,
    disks: plan.disks.map(({ pool, volume }) => ({ pool, volume })),
  }
}

/** Takes the swap back. A VM with an earlier restore that can be undone is never restored, so it is this one. */
export async function undoSwap(op: Op, vm: string): Promise<void> {
  const operationId = idOfSeed(op.id, 'undo swap')
  try {
    await call(snapshots, 'undoRestore', { id: vm }, { operationId })
  } catch (error) {
    // The swap itself has failed, and was undone.
    if (error instanceof ConflictError) return
    throw error
  }
  const { state, failure } = await waitForEnd(operationId)
  if (state !== 'succeeded' && failure) throw unpackError(failure)
}

export async function runSame(op: Op, restoring: RestoringSame): Promise<Vm> {
  const { backup, vm, node, head, snapshotName, disks, start } = restoring
  const record = await backupRecords.require(backup)
  const named = disks.map(({ pool: id, volume }) => ({ id, volume }))
  const words = { id: vm, name: snapshotName, description: `Before the restore of backup ${backup}` }
  const snapshot = await op.child(
    snapshots,
    'create',
    { ...words, include_memory: false },
    { name: 'keeping the present state', undo: () => deleteNamed(vm, snapshotName, `${op.id}/undo`) },
  )
  const heads = { disks: named, node, head }
  await op.step('opening heads', () => open({ ...heads, snapshot: snapshot.id }), { undo: () => discard(heads) })
  let before = 0
  for (const [index, { pool, volume }] of disks.entries()) {
    const within = { before, total: record.data_bytes }
    await op.step(`restoring disk ${pool}/${volume}`, async () => {
      const manifest = await manifestOf(record)
      const restored = restoreIn(await findVolume(pool, volume), head)?.restored
      if (!restored) throw new ConflictError(`Volume '${pool}/${volume}' has no head ${head} by now`)
      const image = { name: volume, format: restored.format, head: restored.head }
      const objects = await openStore(record.pool)
      await restoreImage(op, objects, manifest.disks[index]!, await openPool(pool, node), image, within)
    })
    before += record.disks[index]?.data_bytes ?? 0
  }
  const { guest_state, config } = await manifestOf(record)
  if (guest_state !== null)
    await op.step('keeping state', () => call(vmBackups, 'putState', { id: vm, head, guest_state }))
  const restored = await op.child(
    vmBackups,
    'restore',
    { id: vm, snapshot_id: snapshot.id, head, config },
    { name: 'swapping disks', undo: () => undoSwap(op, vm) },
  )
  // The VM has the bytes of the backup; a start that fails does not take them back.
  await op.commit()
  return start ? op.child(vms, 'start', { id: vm }, { name: 'starting' }) : restored
}
