import type { Volume } from '#shared/contracts/volumes.ts'
import { ConflictError, notFound } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { reach } from '#shared/nodes.ts'
import { drivers } from './drivers/drivers.ts'
import { poolRecords, volumeRecords } from './models.ts'

type Spec = Pick<Volume, 'pool' | 'name' | 'format' | 'size_bytes'>

export const volumeId = (pool: string, name: string) => `${pool}/${name}`

/** @throws NotFoundError also while it is being deleted */
export async function findVolume(pool: string, name: string): Promise<Volume> {
  const record = await volumeRecords.get(volumeId(pool, name))
  if (!record || record.deleting) throw notFound('Volume', `${pool}/${name}`)
  return record
}

export const pathOf = (pool: string, volume: string) => `/api/storage/pools/${pool}/volumes/${volume}`

export async function requireFree(pool: string, name: string): Promise<Volume> {
  const volume = await findVolume(pool, name)
  if (volume.used_by)
    throw new ConflictError(`Volume '${name}' belongs to ${volume.used_by}`, { details: { used_by: volume.used_by } })
  return volume
}

export async function requireOwned(pool: string, name: string, owner: string): Promise<Volume> {
  const volume = await findVolume(pool, name)
  if (volume.used_by !== owner) throw new ConflictError(`Volume '${name}' does not belong to ${owner}`)
  return volume
}

/** The driver and host of a pool. @throws ConflictError for a pool that is not active */
export async function place(poolId: string) {
  const pool = await poolRecords.require(poolId)
  const { host } = await reach(pool.node)
  return { pool, host, driver: drivers[pool.type] }
}

/**
 * Makes a volume, record first. Being called again for the same owner finds what is there; a deletion that comes in
 * between wins, and leaves nothing.
 */
export async function makeVolume(spec: Spec, owner: string | null): Promise<Volume> {
  const { pool, host, driver } = await place(spec.pool)
  if (pool.state !== 'active') throw new ConflictError(`Storage pool '${pool.id}' is not active`)
  const id = volumeId(spec.pool, spec.name)
  const at = now()
  const there = await volumeRecords.get(id)
  if (there && there.used_by !== owner) throw new ConflictError(`${id} already exists`, { details: { id } })
  // An earlier try failed, and could not finish tidying up after itself.
  if (there?.deleting) await deleteBytes(spec.pool, spec.name)
  const known = there?.deleting ? null : there
  const made = {
    ...spec,
    id,
    node: pool.node,
    path: driver.pathOf(pool, spec),
    used_by: owner,
    backing: null,
    created_at: at,
    updated_at: at,
  }
  const record = known ?? (await volumeRecords.insert(made))
  try {
    await driver.createVolume(host, pool, spec)
  } catch (error) {
    if (!known) await deleteBytes(spec.pool, spec.name)
    throw error
  }
  const still = await volumeRecords.get(id)
  if (still && !still.deleting) return record
  await driver.deleteVolume(host, pool, spec)
  throw new ConflictError(`Volume '${id}' was deleted while it was made`)
}

/**
 * Removes a volume, bytes and record; one that is gone is fine.
 * @throws ConflictError while linked clones read from it
 */
export async function deleteBytes(poolId: string, name: string): Promise<void> {
  const record = await volumeRecords.updateWhere({ _id: volumeId(poolId, name) }, { set: { deleting: true } })
  if (!record) return
  // A clone that is being made is written down before it looks at its source: one of the two sees the other.
  try {
    await requireNoClones(record.id, 'be deleted')
  } catch (error) {
    await volumeRecords.updateWhere({ _id: record.id }, { set: { deleting: undefined } })
    throw error
  }
  const { pool, host, driver } = await place(poolId)
  await driver.deleteVolume(host, pool, record)
  await volumeRecords.removeWhere({ _id: record.id })
}

/** Grows a volume; bytes first, so that the record never promises what is not there. */
export async function growTo(poolId: string, name: string, size_bytes: number): Promise<Volume> {
  const volume = await findVolume(poolId, name)
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
