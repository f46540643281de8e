import { hash } from 'node:crypto'
import { allPages } from '#shared/bus/all-pages.ts'
import { call } from '#shared/bus/call.ts'
import type { Params } from '#shared/contract/contract.ts'
import type { volumeDownloads } from '#shared/contracts/storage/volume-downloads.ts'
import { snapshots } from '#shared/contracts/vm/snapshots.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { requireFree } from '#shared/operation/locks.ts'
import type { Original } from '../drivers/driver.ts'
import { unlocked } from '../images/compare.ts'
import { fileOfOriginal } from '../images/images.ts'
import type { VolumeRecord } from '../models.ts'
import { openPool } from '../pools/open-pool.ts'
import { snapshotIn, snapshotsIn, takenOf } from '../snapshots/records.ts'
import { originalOf } from '../volumes/copy.ts'
import { vmOf } from '../volumes/owners.ts'
import { apiPathOf, findVolume } from '../volumes/records.ts'

export type Asked = Params<typeof volumeDownloads, 'open'>

/** The VM that a volume belongs to; null for a volume that is free, or whose VM is gone. @throws ConflictError */
async function ownerOf({ id, used_by }: VolumeRecord): Promise<Vm | null> {
  if (used_by === null) return null
  const vm = vmOf(used_by)
  if (vm === null) throw new ConflictError(`Volume '${id}' belongs to ${used_by}, which may write to it`)
  try {
    return await call(vms, 'get', { id: vm })
  } catch (error) {
    if (error instanceof NotFoundError) return null
    throw error
  }
}

/** Refuses a volume that may be written: by a guest, or by an operation on it or on its VM. @returns its state */
async function requireStill(record: VolumeRecord): Promise<unknown> {
  const vm = await ownerOf(record)
  await requireFree(apiPathOf(record.pool, record.name))
  if (vm === null) return [record.version]
  // A start is an operation: it holds the path of the VM before the guest can write.
  await requireFree(`/api/vms/${vm.id}`)
  const { status, version } = await call(vms, 'get', { id: vm.id })
  if (status === 'stopped') return [record.version, version]
  throw new ConflictError(
    `Volume '${record.id}' is written by VM '${vm.id}', which is ${status}: stop it, or download a snapshot of it`,
    { details: { vm_id: vm.id, status } },
  )
}

/** @returns the identity of a snapshot. @throws NotFoundError, ConflictError for one that is not, or no longer, ready */
async function requireSnapshot(record: VolumeRecord, id: string): Promise<unknown> {
  const taken = snapshotIn(record, id)
  const vm = record.used_by === null ? null : vmOf(record.used_by)
  if (!taken || vm === null) throw new NotFoundError(`Volume '${record.id}' has no snapshot '${id}'`)
  // The record of the snapshot says first that it is being deleted.
  if (taken.is_taken && (await isReady(vm, id))) return [taken.id, taken.native]
  throw new ConflictError(`Snapshot '${id}' of volume '${record.id}' is being made or deleted`)
}

async function isReady(vm: string, snapshot: string): Promise<boolean> {
  const ready = await allPages((page) => call(snapshots, 'list', { ...page, id: vm, filter: 'state:ready' }))
  return ready.some(({ id }) => id === snapshot)
}

/**
 * A tag of the content: the same one means the same bytes, as long as only Horcrux and its guests write to the volume.
 * @throws ConflictError for content that may change now, NotFoundError
 */
export async function tagOf({ id, volume, format, snapshot }: Asked): Promise<string> {
  const record = await findVolume(id, volume)
  const state = snapshot === undefined ? await requireStill(record) : await requireSnapshot(record, snapshot)
  return hash('sha256', JSON.stringify([record.id, record.created_at, format, state]), 'base64url').slice(0, 27)
}

/** The image to read from. A guest that starts meanwhile is not hindered: the download ends then. */
export async function sourceOf({ id, volume, snapshot }: Asked): Promise<{ host: Host; original: Original }> {
  const record = await findVolume(id, volume)
  const opened = await openPool(id)
  const { host, config, volumes } = opened
  if (!(await volumes.exists(host, config, record)))
    throw new NotFoundError(`Volume '${record.id}' has no image in its storage pool`)
  if (snapshot !== undefined) {
    const { taken } = await takenOf(record, snapshot)
    return { host, original: await snapshotsIn(opened).original(host, config, record, taken) }
  }
  const original = await originalOf(opened, record)
  const { format: _, ...tool } = unlocked(fileOfOriginal(original), original.source)
  return { host, original: { ...original, tool } }
}
