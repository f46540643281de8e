import type { Params, Result } from '#shared/contract/contract.ts'
import { pathOfSource } from '#shared/contracts/storage/disk-source.ts'
import type { Volume } from '#shared/contracts/storage/volumes.ts'
import type { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { ConflictError, notFound } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { sizeOfImage } from '../images/images.ts'
import { driverOf } from '../drivers/drivers.ts'
import { poolRecords, volumeRecords } from '../models.ts'
import { openPool } from '../pools/open-pool.ts'
import { viewIn, volumeId } from './records.ts'

type Found = Result<typeof volumesInternal, 'locate'>

/** Finds the volume that a disk source is, in the storage pools that a node reaches. */
export async function locate({ node, source, format }: Params<typeof volumesInternal, 'locate'>): Promise<Found> {
  const { host } = await reach(node)
  // `null` finds storage pools that all nodes reach.
  for (const pool of await poolRecords.all({ nodes: { $in: [node, null] } })) {
    const found = await driverOf(pool).volumes?.find?.(host, pool.config, source)
    if (!found) continue
    const known = await volumeRecords.get(volumeId(pool.id, found.name))
    return { ...found, pool: pool.id, is_known: known !== null, used_by: known?.used_by ?? null }
  }
  const path = pathOfSource(source)
  const size_bytes = format === undefined || path === null ? null : await sizeOfImage(host, path, format)
  return { pool: null, name: null, format: format ?? null, size_bytes, is_known: false, used_by: null }
}

/** Gives an image in a storage pool a record as the volume of a VM. Repeated for the same owner, it finds the record. */
export async function adoptVolume({
  id,
  volume: name,
  format,
  owner,
  node,
}: Params<typeof volumesInternal, 'adopt'>): Promise<Volume> {
  const opened = await openPool(id, node)
  const { config, host, volumes } = opened
  const known = await volumeRecords.get(volumeId(id, name))
  if (known?.used_by === owner) return viewIn(opened, known)
  if (known) throw new ConflictError(`Volume '${known.id}' is there already`, { details: { used_by: known.used_by } })
  const source = await volumes.sourceOn(host, config, { name, format })
  const found = await volumes.find?.(host, config, source)
  if (!found) throw notFound('Volume', volumeId(id, name))
  const at = now()
  const record = await volumeRecords.insert({
    ...found,
    backing: null,
    id: volumeId(id, name),
    pool: id,
    used_by: owner,
    created_at: at,
    updated_at: at,
  })
  return viewIn(opened, record)
}

/** Removes the record and leaves the bytes. */
export async function forgetVolume({ id, volume, owner }: Params<typeof volumesInternal, 'forget'>): Promise<null> {
  await volumeRecords.removeWhere({ _id: volumeId(id, volume), used_by: owner })
  return null
}
