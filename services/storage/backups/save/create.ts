import { setTimeout as delay } from 'node:timers/promises'
import { requireRight } from '#shared/access/require-right.ts'
import { call } from '#shared/bus/call.ts'
import type { Params } from '#shared/contract/contract.ts'
import type { Backup, backups } from '#shared/contracts/storage/backups.ts'
import { snapshots } from '#shared/contracts/vm/snapshots.ts'
import { vmBackups } from '#shared/contracts/vm/vm-backups.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { AppError, ConflictError } from '#shared/errors.ts'
import { event, now } from '#shared/events/event.ts'
import { newId } from '#shared/ids.ts'
import { findEntry } from '#shared/operation/entries.ts'
import { type Accepting, type Op, operation } from '#shared/operation/kinds.ts'
import { backupRecords, viewOf } from '../model.ts'
import { withImage } from '../nbd/open-image.ts'
import { scanDisk } from '../nbd/scan-disk.ts'
import { throttle } from '../nbd/throttle.ts'
import { readCatalog } from '../store/catalog.ts'
import { digestOf } from '../store/chunks.ts'
import { keyOfManifest, type VmManifest, writeManifest } from '../store/manifest.ts'
import { openStore, openStored } from '../store/open-store.ts'
import { packWriter } from '../store/pack-writer.ts'
import { type Beginning, holdId, recordBegin, shareStore } from './begin.ts'
import { removeManifests } from './manifests.ts'
import { partsOf } from './parts.ts'
import { deleteSnapshot, snapshotNameOf } from './snapshot.ts'
import { imageOfSnapshot } from './sources.ts'

/** The stored input of a backup. */
export type Saving = Beginning & { vm: string; vmName: string }
type Given = Omit<Params<typeof backups, 'create'>, 'id'> & { id?: string | undefined; job?: string }
type SavedDisk = Backup['disks'][number] & { new_bytes: number; stored_bytes: number }

const vmPathOf = (vm: string) => `/api/vms/${vm}`
const MiB = 2 ** 20
const deletionTries = 5

/** Checks the disks of a VM that a guest writes. @throws ConflictError for a VM that cannot be backed up */
export function requireDisks({ id, disks, foreign_disks }: Vm): void {
  const written = disks.filter(({ readonly }) => !readonly)
  if (written.length === 0) throw new ConflictError(`Virtual machine '${id}' has no disk that it writes`)
  if (foreign_disks.length > 0)
    throw new ConflictError(
      `Virtual machine '${id}' has disks that Horcrux does not manage, and which no backup or replica would have: ${foreign_disks.map((disk) => disk.id).join(', ')}`,
    )
}

/** Checks a backup. The snapshot that it begins with has further checks of its own. */
export async function planSave(given: Given, { hold, share }: Pick<Accepting, 'hold' | 'share'>): Promise<Saving> {
  const { id = newId(), vm_id, pool, description, job = null, bandwidth_mib } = given
  await holdId(id, hold)
  const vm = await call(vms, 'get', { id: vm_id })
  requireDisks(vm)
  await shareStore(pool, share)
  return {
    backup: id,
    vm: vm_id,
    vmName: vm.name,
    node: vm.node,
    pool,
    job,
    description,
    protected: given.protected,
    bandwidthMib: bandwidth_mib ?? null,
  }
}

const record = (saving: Saving): Promise<void> =>
  recordBegin(saving, {
    kind: 'vm',
    vm_id: saving.vm,
    vm_name: saving.vmName,
    container_id: null,
    container_name: null,
  })

/** Reads a disk of the snapshot, and stores the chunks that are not in the store. */
async function saveDisk(
  op: Op,
  { backup, pool, vm, node, bandwidthMib }: Saving,
  disk: { id: string; pool: string; volume: string; size_bytes: number },
  snapshot: string,
  within: { before: number; total: number },
): Promise<SavedDisk> {
  const objects = await openStore(pool)
  const writer = packWriter(objects, await readCatalog(objects))
  const from = { pool: disk.pool, volume: disk.volume, owner: vmPathOf(vm), node, snapshot }
  const { host, original } = await imageOfSnapshot(from)
  const pace = throttle(bandwidthMib === null ? undefined : bandwidthMib * MiB, op.signal)
  const onProgress = (done: number) => op.progress(within.before + done, within.total, 'bytes')
  const scanned = await withImage(host, original, { isWritten: false, signal: op.signal }, async (image) => {
    // The head after the snapshot is as large as the disk was then.
    if (image.sizeBytes !== disk.size_bytes)
      throw new ConflictError(`Disk ${disk.id} has ${image.sizeBytes} bytes in its snapshot, not ${disk.size_bytes}`)
    return scanDisk(image, { signal: op.signal, encryption: objects.encryption, pace, onChunk: writer.add, onProgress })
  })
  const { new_bytes, stored_bytes, healed_chunks } = await writer.finish()
  if (healed_chunks > 0) op.log(`${healed_chunks} damaged chunks of the store were written again`)
  await partsOf(objects, backup).writeChunks(disk.id, scanned.chunks)
  const { id, pool: from_pool, volume, size_bytes } = disk
  const digest = digestOf(scanned.chunks, size_bytes, objects.encryption)
  return { id, pool: from_pool, volume, size_bytes, data_bytes: scanned.data_bytes, digest, new_bytes, stored_bytes }
}

/** Writes the manifest: from then on there is a backup. */
async function commit({ backup, vm, pool, description }: Saving, saved: SavedDisk[]) {
  const objects = await openStore(pool)
  const parts = partsOf(objects, backup)
  const guest = await parts.readGuest()
  const disks: VmManifest['disks'] = []
  for (const { id, bus, cache, format, pool: from, volume, size_bytes } of guest.snapshot.disks) {
    const { digest } = saved.find((disk) => disk.id === id)!
    const chunks = await parts.readChunks(id)
    disks.push({ id, bus, cache, format, pool: from, volume, size_bytes, digest, chunks })
  }
  const { taken_at, consistency, vm_status, config } = guest.snapshot
  const manifest: VmManifest = {
    format: 1,
    chunk_bytes: 4 * MiB,
    id: backup,
    vm_id: vm,
    vm_name: guest.vm.name,
    hypervisor: guest.vm.hypervisor,
    node: guest.vm.node,
    description,
    taken_at,
    consistency,
    vm_status: vm_status ?? 'stopped',
    vm: { description: guest.vm.description, tags: guest.vm.tags },
    config,
    guest_state: guest.guest_state,
    disks,
  }
  const manifest_sha256 = await writeManifest(objects, manifest)
  await parts.remove()
  return { manifest: keyOfManifest(manifest), manifest_sha256, taken_at, consistency, vm_status }
}

/**
 * Deletes the snapshot. A virtual machine may be held, or its node slow, for a moment; a backup is whole without the
 * deletion: a snapshot that stays is deleted by the sweep.
 */
async function endSnapshot(op: Op, { vm, backup }: Saving): Promise<void> {
  for (let tried = 1; ; tried++) {
    try {
      await deleteSnapshot(vm, backup, `${op.id}/end/${tried}`)
      await backupRecords.updateWhere({ _id: backup }, { set: { snapshot: undefined } })
      return
    } catch (error) {
      if (!(error instanceof AppError) || op.signal.aborted) throw error
      if (tried === deletionTries) return op.log(`The snapshot of the backup is deleted later: ${error.message}`)
    }
    await delay(1000)
  }
}

const sum = (disks: readonly SavedDisk[], field: 'size_bytes' | 'data_bytes' | 'new_bytes' | 'stored_bytes') =>
  disks.reduce((total, disk) => total + disk[field], 0)

export async function runSave(op: Op, saving: Saving): Promise<Backup> {
  const { backup, vm, pool } = saving
  await op.step('recording', () => record(saving), {
    undo: async () => {
      if ((await backupRecords.removeWhere({ _id: backup })) === 0) return
      const error = (await findEntry(op.id))?.failure?.message ?? null
      op.emit(event('BackupFailed', { backup_id: backup, vm_id: vm, error, timestamp: now() }))
    },
  })
  const snapshot = await op.child(
    snapshots,
    'create',
    { id: vm, name: snapshotNameOf(backup), description: `For backup ${backup}`, include_memory: false },
    { name: 'taking snapshot', undo: () => deleteSnapshot(vm, backup, `${op.id}/undo`) },
  )
  const removeParts = async () => partsOf(await openStored(pool), backup).remove()
  const disks = await op.step(
    'describing',
    async () => {
      await backupRecords.updateWhere({ _id: backup }, { set: { snapshot: snapshot.id } })
      const guest = await call(vmBackups, 'describe', { id: vm, snapshot_id: snapshot.id })
      await partsOf(await openStore(pool), backup).writeGuest(guest)
      return guest.snapshot.disks.map(({ id, pool: from, volume, size_bytes }) => ({
        id,
        pool: from,
        volume,
        size_bytes,
      }))
    },
    { undo: removeParts },
  )
  const total = disks.reduce((all, { size_bytes }) => all + size_bytes, 0)
  const saved: SavedDisk[] = []
  let before = 0
  for (const disk of disks) {
    const within = { before, total }
    saved.push(await op.step(`saving disk ${disk.id}`, () => saveDisk(op, saving, disk, snapshot.id, within)))
    before += disk.size_bytes
  }
  const committed = await op.step('writing manifest', () => commit(saving, saved), {
    undo: async () => removeManifests(await openStored(pool), vm, backup),
  })
  await op.commit()
  await op.step('recording result', async () => {
    const set = {
      ...committed,
      state: 'ready' as const,
      disks: saved.map(({ new_bytes: _, stored_bytes: _s, ...disk }) => disk),
      size_bytes: total,
      data_bytes: sum(saved, 'data_bytes'),
      new_bytes: sum(saved, 'new_bytes'),
      stored_bytes: sum(saved, 'stored_bytes'),
    }
    const told = { backup_id: backup, vm_id: vm, stored_bytes: set.stored_bytes, timestamp: now() }
    await backupRecords.updateWhere(
      { _id: backup, state: 'creating' },
      { set, events: [event('BackupCompleted', told)] },
    )
  })
  await op.step('deleting snapshot', () => endSnapshot(op, saving))
  return viewOf(await backupRecords.require(backup))
}

/** Backs up a virtual machine for a job, whose rights were checked when it was made. */
export const createFor = operation({
  accept: ({ bandwidth_mib, ...given }: Params<typeof backups, 'createFor'>, accepting) => {
    const limit = bandwidth_mib === null ? {} : { bandwidth_mib }
    return planSave({ ...given, ...limit, description: '', protected: false }, accepting)
  },
  run: runSave,
})

export const create = operation({
  accept: async (given: Params<typeof backups, 'create'>, accepting) => {
    requireRight(accepting, 'DatastoreAllocate', `/api/storage/pools/${encodeURIComponent(given.pool)}`)
    return planSave(given, accepting)
  },
  run: runSave,
})
