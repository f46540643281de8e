/** Volumes that images read from as backing files. */
import type { Params } from '#shared/contract/contract.ts'
import { pathOfSource } from '#shared/contracts/storage/disk-source.ts'
import type { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { now } from '#shared/events/event.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { backingFiles } from '../images/backing-files.ts'
import { type VolumeRecord, volumeRecords } from '../models.ts'
import type { OpenPool } from '../pools/open-pool.ts'
import { nodeFor } from '../pools/open-pool.ts'
import { placeOf } from './locate.ts'
import { volumeId } from './records.ts'

export type Bases = { backing: string | null; reads: string[] }
type Image = { path: string; format: string }

/**
 * Gives each backing file of an image that lies in a storage pool its record, with its own backing.
 * @returns the volume that the image reads from first, and the paths of all of its backing files
 */
export async function registerBases(host: Host, node: string, image: Image): Promise<Bases> {
  const files = await backingFiles(host, image)
  let backing: string | null = null
  // The last one reads from no other.
  for (const { path } of files.toReversed()) {
    const { pool, name, format, size_bytes, is_known } = await placeOf(host, node, { type: 'file', path })
    if (pool === null || name === null || format === null) continue
    const id = volumeId(pool, name)
    if (is_known) {
      if (backing !== null) await volumeRecords.updateWhere({ _id: id, backing: null }, { set: { backing } })
    } else await insertFound({ pool, name, format, size_bytes: size_bytes ?? 0 }, { backing, reads: [] }, null)
    backing = id
  }
  return { backing, reads: files.map(({ path }) => path) }
}

type Spec = Pick<VolumeRecord, 'pool' | 'name' | 'format' | 'size_bytes'>

/** Writes the record of a volume whose bytes are there. */
export const insertFound = (spec: Spec, { backing, reads }: Bases, owner: string | null): Promise<VolumeRecord> => {
  const at = now()
  return volumeRecords.insert({
    ...spec,
    id: volumeId(spec.pool, spec.name),
    backing,
    ...(reads.length > 0 && { reads }),
    used_by: owner,
    created_at: at,
    updated_at: at,
  })
}

/** The backing of a volume that is there already: read from the image, for those that an earlier version adopted. */
export async function readBases({ pool, config, host, volumes }: OpenPool, record: VolumeRecord, node?: string) {
  const path = pathOfSource(await volumes.sourceOn(host, config, record))
  // The layers of its own snapshots are no other volumes.
  if (path === null || record.backing !== null || record.head) return
  const { backing, reads } = await registerBases(host, nodeFor(pool, node), { path, format: record.format })
  if (reads.length > 0) await volumeRecords.updateWhere({ _id: record.id }, { set: { backing, reads } })
}

/** Records that an image in no storage pool reads from a volume. Repeating it is fine. */
export async function hold({ node, source, format, reader }: Params<typeof volumesInternal, 'hold'>): Promise<null> {
  const { host } = await reach(node)
  const path = pathOfSource(source)
  if (path === null) return null
  const { backing } = await registerBases(host, node, { path, format })
  if (backing === null) return null
  await volumeRecords.change(backing, ({ read_by = [] }) => ({ set: { read_by: [...new Set([...read_by, reader])] } }))
  return null
}

export async function release({ reader }: Params<typeof volumesInternal, 'release'>): Promise<null> {
  for (const { id } of await volumeRecords.all({ read_by: reader }))
    await volumeRecords.change(id, ({ read_by = [] }) => ({
      set: { read_by: read_by.filter((each) => each !== reader) },
    }))
  return null
}
