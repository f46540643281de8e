import type { Volume } from '#shared/contracts/storage/volumes.ts'
import { requireVersion } from '#shared/db/if-match.ts'
import { alreadyExists, ConflictError, notFound } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { drivers } from '../drivers/drivers.ts'
import { poolRecords, volumeRecords } from '../models.ts'

type Spec = Pick<Volume, 'pool' | 'name' | 'format' | 'size_bytes'>

export const volumeId = (pool: string, name: string) => `${pool}/${name}`

/** @throws NotFoundError also while it is being deleted */
export async function findVolume(pool: string, name: string): Promise<Volume> {
  const record = await volumeRecords.get(volumeId(pool, name))
  if (!record || record.deleting) throw notFound('Volume', `${pool}/${name}`)
  return record
}

export const pathOf = (pool: string, volume: string) => `/api/storage/pools/${pool}/volumes/${volume}`

/** @throws ConflictError when a machine has it, PreconditionFailedError when `If-Match` names another version */
export async function requireFree(pool: string, name: string): Promise<Volume> {
  const volume = await findVolume(pool, name)
  requireVersion(`Volume '${name}'`, volume.version)
  if (volume.used_by)
    throw new ConflictError(`Volume '${name}' belongs to ${volume.used_by}`, { details: { used_by: volume.used_by } })
  return volume
}

export async function requireOwned(pool: string, name: string, owner: string): Promise<Volume> {
  const volume = await findVolume(pool, name)
  if (volume.used_by !== owner) throw new ConflictError(`Volume '${name}' does not belong to ${owner}`)
  return volume
}

/** The driver and host of a pool. @throws NotFoundError */
export async function place(poolId: string) {
  const pool = await poolRecords.require(poolId)
  const { host } = await reach(pool.node)
  return { pool, host, driver: drivers[pool.type] }
}

/** As {@link place}. @throws ConflictError for a pool that is not active */
export async function placeActive(poolId: string) {
  const found = await place(poolId)
  if (found.pool.state !== 'active') throw new ConflictError(`Storage pool '${poolId}' is not active`)
  return found
}

export const notOurs = (path: string) => new ConflictError(`${path} is there already, and belongs to no volume`)

/**
 * Makes a volume, record first. Being called again for the same owner finds what is there; a deletion that comes in
 * between wins, and leaves nothing. A file that was there before is not touched.
 * @throws ConflictError when the volume, or a file in its place, is there
 */
export async function makeVolume(spec: Spec, owner: string | null): Promise<Volume> {
  const { pool, host, driver } = await placeActive(spec.pool)
  const id = volumeId(spec.pool, spec.name)
  const at = now()
  const there = await volumeRecords.get(id)
  if (there && there.used_by !== owner) throw new ConflictError(`${id} already exists`, { details: { id } })
  // An earlier try failed, and could not finish tidying up after itself.
  if (there?.deleting) await deleteBytes(spec.pool, spec.name, owner)
  const known = there?.deleting ? null : there
  if (known && (known.size_bytes !== spec.size_bytes || known.format !== spec.format)) throw alreadyExists(id)
  const path = driver.pathOf(pool, spec)
  if (!known && (await host.stat(path))) throw notOurs(path)
  const made = {
    ...spec,
    id,
    node: pool.node,
    path,
    used_by: owner,
    backing: null,
    created_at: at,
    updated_at: at,
  }
  const record = known ?? (await volumeRecords.insert(made))
  let isMade: boolean
  try {
    isMade = await driver.createVolume(host, pool, spec, { again: known !== null })
  } catch (error) {
    if (!known) await deleteBytes(spec.pool, spec.name, owner)
    throw error
  }
  return finished(record, isMade)
}

/**
 * A volume whose bytes have been made, if it still is one.
 * @param isMade false: what lies in its place came meanwhile, from somebody else; only our record of it goes
 * @throws ConflictError
 */
export async function finished(record: Volume, isMade: boolean): Promise<Volume> {
  if (!isMade) {
    await volumeRecords.removeWhere({ _id: record.id, used_by: record.used_by })
    throw notOurs(record.path)
  }
  const still = await volumeRecords.get(record.id)
  if (still && !still.deleting) return still
  const { pool, host, driver } = await place(record.pool)
  await driver.deleteVolume(host, pool, record)
  throw new ConflictError(`Volume '${record.id}' was deleted while it was made`)
}

/**
 * Marks a volume as one that is being deleted: from then on nobody finds it, and no VM can take it.
 * @returns null when it is gone
 * @throws ConflictError when it is not that owner's, or while linked clones read from it
 */
export async function markDeleting(poolId: string, name: string, owner: string | null) {
  const id = volumeId(poolId, name)
  const record = await volumeRecords.updateWhere({ _id: id, used_by: owner }, { set: { deleting: true } })
  if (!record) {
    const there = await volumeRecords.get(id)
    if (!there) return null
    throw new ConflictError(`Volume '${id}' belongs to ${there.used_by ?? 'nobody'} by now`, {
      details: { used_by: there.used_by },
    })
  }
  // A clone that is being made is written down before it looks at its source: one of the two sees the other.
  try {
    await requireNoClones(record.id, 'be deleted')
  } catch (error) {
    await unmarkDeleting(poolId, name)
    throw error
  }
  return record
}

export const unmarkDeleting = (poolId: string, name: string) =>
  volumeRecords.updateWhere({ _id: volumeId(poolId, name), deleting: true }, { set: { deleting: undefined } })

/** Removes a volume of that owner, bytes and record; one that is gone is fine. @throws as {@link markDeleting} */
export async function deleteBytes(poolId: string, name: string, owner: string | null): Promise<void> {
  const record = await markDeleting(poolId, name, owner)
  if (!record) return
  const { pool, host, driver } = await place(poolId)
  await driver.deleteVolume(host, pool, record)
  await volumeRecords.removeWhere({ _id: record.id })
}

/** Grows a volume of that owner; bytes first, so that the record never promises what is not there. */
export async function growTo(
  { pool: poolId, name, size_bytes }: Pick<Volume, 'pool' | 'name' | 'size_bytes'>,
  owner: string | null,
): Promise<Volume> {
  const volume = owner === null ? await requireFree(poolId, name) : await requireOwned(poolId, name, owner)
  await requireNoClones(volume.id, 'be resized')
  const { pool, host, driver } = await place(poolId)
  await driver.resizeVolume(host, pool, { ...volume, size_bytes })
  const grown = await volumeRecords.updateWhere({ _id: volume.id }, { set: { size_bytes } })
  if (!grown) throw notFound('Volume', volume.id)
  return grown
}

/** @throws ConflictError naming the linked clones that read from a volume, which therefore cannot change */
export async function requireNoClones(id: string, what: string): Promise<void> {
  const clones = await volumeRecords.all({ backing: id })
  if (clones.length === 0) return
  const users = clones.map((clone) => clone.used_by ?? clone.id)
  throw new ConflictError(
    `Volume '${id}' cannot ${what}: backing file in use by ${clones.length} linked clone(s): ${users.slice(0, 10).join(', ')}`,
    { details: { clones: clones.map((clone) => ({ volume: clone.id, used_by: clone.used_by })) } },
  )
}
