import type { Params, Result } from '#shared/contract/contract.ts'
import type { Volume } from '#shared/contracts/storage/volumes.ts'
import type { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { ConflictError, notFound } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { imageInfo } from '../images/qemu-img.ts'
import { drivers } from '../drivers/drivers.ts'
import { poolRecords, volumeRecords } from '../models.ts'
import { volumeId } from './volume.ts'

type Place = Result<typeof volumesInternal, 'locate'>

/** The pool of a node in which an image lies as one of its volumes would, and whether it is one already. */
export async function locate({ node, path, format }: Params<typeof volumesInternal, 'locate'>): Promise<Place> {
  const { host } = await reach(node)
  for (const pool of await poolRecords.all({ node })) {
    const found = await drivers[pool.type].volumeAt?.(host, pool, path)
    if (!found) continue
    const known = await volumeRecords.get(volumeId(pool.id, found.name))
    return { ...found, pool: pool.id, is_known: known !== null, used_by: known?.used_by ?? null }
  }
  const { virtualSize: size_bytes } = await imageInfo(host, path, format)
  return { pool: null, name: null, format, size_bytes, is_known: false, used_by: null }
}

/** Makes a file that is there a volume, which belongs to a VM; again for the same owner finds it. */
export async function adoptFile({
  id,
  volume: name,
  format,
  owner,
}: Params<typeof volumesInternal, 'adopt'>): Promise<Volume> {
  const pool = await poolRecords.require(id)
  const known = await volumeRecords.get(volumeId(id, name))
  if (known?.used_by === owner) return known
  if (known) throw new ConflictError(`Volume '${known.id}' is there already`, { details: { used_by: known.used_by } })
  const { host } = await reach(pool.node)
  const driver = drivers[pool.type]
  const path = driver.pathOf(pool, { name, format })
  const found = await driver.volumeAt?.(host, pool, path)
  if (!found) throw notFound('Volume', volumeId(id, name))
  const at = now()
  return volumeRecords.insert({
    ...found,
    backing: null,
    id: volumeId(id, name),
    pool: id,
    node: pool.node,
    path,
    used_by: owner,
    created_at: at,
    updated_at: at,
  })
}

/** Takes the record away and leaves the file. */
export async function forgetFile({ id, volume, owner }: Params<typeof volumesInternal, 'forget'>): Promise<null> {
  await volumeRecords.removeWhere({ _id: volumeId(id, volume), used_by: owner })
  return null
}
