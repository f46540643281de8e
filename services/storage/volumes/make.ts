import type { Volume } from '#shared/contracts/storage/volumes.ts'
import { alreadyExists, ConflictError, notFound } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { log } from '#shared/runtime/log.ts'
import { operationAtWork } from '#shared/runtime/request-context.ts'
import type { IfExists } from '../drivers/driver.ts'
import { type VolumeRecord, volumeRecords } from '../models.ts'
import { isAway } from '../pools/identity.ts'
import { openActivePool, openPool, type OpenPool } from '../pools/open-pool.ts'
import { requireRoom } from '../pools/room.ts'
import {
  foreignError,
  requireFreePlace,
  requireNoClones,
  requireNoSnapshots,
  requireOwned,
  requireUnused,
  volumeId,
  type VolumeKey,
  type VolumeSpec,
} from './records.ts'

type Owned = { owner: string | null; backing?: string | null }

/** The format of a new volume: the given one, else the storage pool's default. @throws ConflictError */
export function formatIn({ pool, config, driver }: OpenPool, given: Volume['format'] | undefined): Volume['format'] {
  const { default_format } = driver.capabilitiesOf(config)
  if (default_format !== null) return given ?? default_format
  throw new ConflictError(
    `No volumes are made in storage pool '${pool.id}': its storage makes them, and a scan finds them`,
  )
}

const insert = ({ pool, name, format, size_bytes }: VolumeSpec, { owner, backing = null }: Owned) => {
  const at = now()
  const operation = operationAtWork()
  const id = volumeId(pool, name)
  return volumeRecords.insert({
    id,
    pool,
    name,
    format,
    size_bytes,
    used_by: owner,
    backing,
    ...(operation !== undefined && { operation }),
    created_at: at,
    updated_at: at,
  })
}

export type Registered = IfExists & { record: VolumeRecord }

/** Writes the record of a volume whose bytes come next. Repeated for the same owner, it finds the record. */
export async function register(opened: OpenPool, spec: VolumeSpec, owned: Owned): Promise<Registered> {
  const id = volumeId(spec.pool, spec.name)
  const known = await volumeRecords.get(id)
  const isOurs = known && !known.deleting && known.used_by === owned.owner && known.backing === (owned.backing ?? null)
  if (isOurs) return { record: known, ifExists: 'accept' }
  if (known) throw alreadyExists(id)
  await requireFreePlace(opened, spec)
  return { record: await insert(spec, owned), ifExists: 'refuse' }
}

/**
 * Makes an empty volume, record first. Repeated for the same owner, it finds the volume. A deletion in between wins, and
 * nothing is left. A file that was there before is not touched.
 * @throws ConflictError when the volume, or a file in its place, is there
 */
export async function makeVolume(spec: VolumeSpec, owner: string | null, node?: string): Promise<VolumeRecord> {
  const opened = await openActivePool(spec.pool, node)
  const id = volumeId(spec.pool, spec.name)
  const there = await volumeRecords.get(id)
  if (there && there.used_by !== owner) throw new ConflictError(`${id} already exists`, { details: { id } })
  // An earlier try failed and could not finish its clean-up.
  if (there?.deleting) await deleteVolume(spec, owner)
  const known = there?.deleting ? null : there
  if (known && (known.size_bytes !== spec.size_bytes || known.format !== spec.format)) throw alreadyExists(id)
  const { record, ifExists } = await register(opened, spec, { owner, backing: known?.backing ?? null })
  const { config, host, volumes } = opened
  let isMade: boolean
  try {
    if (ifExists === 'refuse') await requireRoom(opened, 0)
    isMade = await volumes.create(host, config, spec, { ifExists })
  } catch (error) {
    if (ifExists === 'refuse') await deleteOrLeave(spec, owner)
    throw error
  }
  return finish(opened, record, isMade)
}

/**
 * Ends the making of a volume.
 * @param isMade false: something of others came into its place; only our record is removed
 * @returns the record as it is now. @throws ConflictError when the volume was deleted meanwhile
 */
export async function finish(opened: OpenPool, record: VolumeRecord, isMade: boolean): Promise<VolumeRecord> {
  if (!isMade) {
    await volumeRecords.removeWhere({ _id: record.id, used_by: record.used_by })
    throw await foreignError(opened, record)
  }
  const still = await volumeRecords.get(record.id)
  if (still && !still.deleting) return still
  const { config, host, volumes } = opened
  await volumes.delete(host, config, record)
  throw new ConflictError(`Volume '${record.id}' was deleted while it was made`)
}

/**
 * Marks a volume as being deleted: from then on it is not found, and no VM can take it.
 * @returns null when it is gone
 * @throws ConflictError when it belongs to another owner, or while linked clones read from it
 */
export async function markDeleting({ pool, name }: VolumeKey, owner: string | null): Promise<VolumeRecord | null> {
  const id = volumeId(pool, name)
  const record = await volumeRecords.updateWhere({ _id: id, used_by: owner }, { set: { deleting: true } })
  if (!record) {
    const there = await volumeRecords.get(id)
    if (!there) return null
    throw new ConflictError(`Volume '${id}' belongs to ${there.used_by ?? 'nobody'} by now`, {
      details: { used_by: there.used_by },
    })
  }
  // A clone writes its record before it reads its source: one of the two sees the other.
  try {
    await requireNoClones(record.id, 'be deleted')
    requireNoSnapshots(record, 'be deleted')
  } catch (error) {
    await unmarkDeleting({ pool, name })
    throw error
  }
  return record
}

export const unmarkDeleting = ({ pool, name }: VolumeKey) =>
  volumeRecords.updateWhere({ _id: volumeId(pool, name), deleting: true }, { set: { deleting: undefined } })

/** Deletes a volume of an owner, bytes first; one that is gone is fine. @throws as {@link markDeleting} */
export async function deleteVolume(key: VolumeKey, owner: string | null): Promise<void> {
  const record = await markDeleting(key, owner)
  if (!record) return
  await deleteMarked(record)
}

async function deleteMarked(record: VolumeRecord): Promise<void> {
  const { config, host, volumes } = await openPool(record.pool)
  await volumes.delete(host, config, record)
  await volumeRecords.removeWhere({ _id: record.id })
}

/** As {@link deleteVolume}; while the storage pool is away, the volume stays marked, and the sweep deletes it later. */
async function deleteOrLeave(key: VolumeKey, owner: string | null): Promise<void> {
  const record = await markDeleting(key, owner)
  if (!record) return
  try {
    await deleteMarked(record)
  } catch (error) {
    if (!isAway(error)) throw error
    log('volumes').warn({ err: error as Error, volume: record.id }, 'it is deleted once its storage pool is there')
  }
}

/** Undoes the making of a volume, unless the volume of that name belongs to another. */
export async function undoVolume(key: VolumeKey, owner: string | null): Promise<void> {
  const there = await volumeRecords.get(volumeId(key.pool, key.name))
  if (there?.used_by === owner) await deleteOrLeave(key, owner)
}

/** Grows a volume of an owner; bytes first, so that the record never promises bytes that are not there. */
export async function growVolume(
  { pool, name, size_bytes }: VolumeKey & Pick<Volume, 'size_bytes'>,
  owner: string | null,
): Promise<VolumeRecord> {
  const volume = owner === null ? await requireUnused(pool, name) : await requireOwned(pool, name, owner)
  await requireNoClones(volume.id, 'be resized')
  const opened = await openPool(pool)
  await requireRoom(opened, 0)
  const { config, host, volumes } = opened
  await volumes.resize(host, config, { ...volume, size_bytes })
  const grown = await volumeRecords.updateWhere({ _id: volume.id }, { set: { size_bytes } })
  if (!grown) throw notFound('Volume', volume.id)
  return grown
}
