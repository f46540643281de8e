import { nameOfSource, withPath } from '#shared/contracts/storage/disk-source.ts'
import type { Volume } from '#shared/contracts/storage/volumes.ts'
import { requireVersion } from '#shared/db/if-match.ts'
import { ConflictError, notFound } from '#shared/errors.ts'
import { type VolumeRecord, volumeRecords } from '../models.ts'
import { openPool, type OpenPool } from '../pools/open-pool.ts'

export type VolumeKey = Pick<Volume, 'pool' | 'name'>
export type VolumeSpec = Pick<Volume, 'pool' | 'name' | 'format' | 'size_bytes'>

export const volumeId = (pool: string, name: string) => `${pool}/${name}`

/** The path of a volume in the API: locks and rights are on it. */
export const apiPathOf = (pool: string, volume: string) => `/api/storage/pools/${pool}/volumes/${volume}`

/** Volumes as callers see them, each with its source on the host on which the storage pool is open. */
export const viewIn = async ({ pool, config, host, volumes }: OpenPool, record: VolumeRecord): Promise<Volume> => {
  const { deleting: _, reads: _r, read_by: _b, operation: _o, ...inner } = record
  const { head: _h, restores: _s, snapshots = [], ...kept } = inner
  const node = pool.nodes?.length === 1 ? pool.nodes[0]! : null
  return withPath({
    ...kept,
    node,
    source: await volumes.sourceOn(host, config, record),
    snapshots: snapshots.length,
  })
}

/** A volume as callers see it. @param node its source is the one there */
export const viewOf = async (record: VolumeRecord, node?: string): Promise<Volume> =>
  viewIn(await openPool(record.pool, node), record)

/** @throws NotFoundError also while it is being deleted */
export async function findVolume(pool: string, name: string): Promise<VolumeRecord> {
  const record = await volumeRecords.get(volumeId(pool, name))
  if (!record || record.deleting) throw notFound('Volume', `${pool}/${name}`)
  return record
}

/** @throws ConflictError when a VM has it, PreconditionFailedError when `If-Match` names another version */
export async function requireUnused(pool: string, name: string): Promise<VolumeRecord> {
  const volume = await findVolume(pool, name)
  requireVersion(`Volume '${name}'`, volume.version)
  if (volume.used_by)
    throw new ConflictError(`Volume '${name}' belongs to ${volume.used_by}`, { details: { used_by: volume.used_by } })
  return volume
}

export async function requireOwned(pool: string, name: string, owner: string): Promise<VolumeRecord> {
  const volume = await findVolume(pool, name)
  if (volume.used_by !== owner) throw new ConflictError(`Volume '${name}' does not belong to ${owner}`)
  return volume
}

/** The error for something in the place of a volume that has no record. */
export async function foreignError({ config, host, volumes }: OpenPool, volume: VolumeSpec): Promise<ConflictError> {
  const source = await volumes.sourceOn(host, config, volume)
  return new ConflictError(`${nameOfSource(source)} is there already, and belongs to no volume`)
}

/** @throws ConflictError when something is in the place of a volume */
export async function requireFreePlace(opened: OpenPool, volume: VolumeSpec): Promise<void> {
  const { config, host, volumes } = opened
  if (await volumes.exists(host, config, volume)) throw await foreignError(opened, volume)
}

/** @throws ConflictError naming the linked clones that read from a volume, which therefore cannot change */
export async function requireNoClones(id: string, what: string): Promise<void> {
  const clones = await volumeRecords.all({ backing: id })
  const { read_by = [] } = (await volumeRecords.get(id)) ?? {}
  const users = [...clones.map((clone) => clone.used_by ?? clone.id), ...read_by]
  if (users.length === 0) return
  throw new ConflictError(
    `Volume '${id}' cannot ${what}: backing file in use by ${users.length} linked clone(s): ${users.slice(0, 10).join(', ')}`,
    { details: { clones: clones.map((clone) => ({ volume: clone.id, used_by: clone.used_by })), read_by } },
  )
}

/** @throws ConflictError for a volume of which snapshots have a state */
export function requireNoSnapshots({ id, snapshots = [], restores = [] }: VolumeRecord, what: string): void {
  if (snapshots.length > 0)
    throw new ConflictError(
      `Volume '${id}' cannot ${what}: ${snapshots.length} snapshot(s) of virtual machines have a state of it. Delete those first`,
      { details: { snapshots: snapshots.map((each) => each.id) } },
    )
  if (restores.length > 0)
    throw new ConflictError(`Volume '${id}' cannot ${what}: a restore of its virtual machine can still be undone`)
}
