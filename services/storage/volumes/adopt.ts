import type { Params } from '#shared/contract/contract.ts'
import { pathOfSource } from '#shared/contracts/storage/disk-source.ts'
import type { Volume } from '#shared/contracts/storage/volumes.ts'
import type { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { ConflictError, notFound } from '#shared/errors.ts'
import { volumeRecords } from '../models.ts'
import { nodeFor, openPool } from '../pools/open-pool.ts'
import { insertFound, registerBases } from './bases.ts'
import { viewIn, volumeId } from './records.ts'

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
  const path = pathOfSource(source)
  const bases =
    path === null
      ? { backing: null, reads: [] }
      : await registerBases(host, nodeFor(opened.pool, node), { path, format: found.format })
  const record = await insertFound({ ...found, pool: id }, bases, owner)
  return viewIn(opened, record)
}

/** Removes the record and leaves the bytes. */
export async function forgetVolume({ id, volume, owner }: Params<typeof volumesInternal, 'forget'>): Promise<null> {
  await volumeRecords.removeWhere({ _id: volumeId(id, volume), used_by: owner })
  return null
}
