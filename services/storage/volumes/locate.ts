import type { Params, Result } from '#shared/contract/contract.ts'
import { type DiskSource, pathOfSource } from '#shared/contracts/storage/disk-source.ts'
import type { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { fileIds } from '#shared/nodes/host/file-ids.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { sizeOfImage } from '../images/images.ts'
import { backingFiles } from '../images/backing-files.ts'
import { driverOf } from '../drivers/drivers.ts'
import { configOf } from '../pools/pool-config.ts'
import { type PoolRecord, poolRecords, type VolumeRecord, volumeRecords } from '../models.ts'
import { volumeId } from './records.ts'

type Found = Omit<Result<typeof volumesInternal, 'locate'>, 'reads'>

/** The storage pools that a node reaches; `null` finds those that all nodes reach. */
const poolsOf = (node: string) => poolRecords.all({ nodes: { $in: [node, null] } })

const knownPlace = ({ pool, name, format, size_bytes, used_by }: VolumeRecord): Found => ({
  pool,
  name,
  format,
  size_bytes,
  is_known: true,
  used_by,
})

/** The volume that a file is by its device and inode, or that reads it as a backing file. */
async function byIdentity(host: Host, pools: PoolRecord[], path: string): Promise<Found | null> {
  const known = new Map<string, { record: VolumeRecord; isBacking: boolean }>()
  for (const pool of pools) {
    const { volumes } = driverOf(pool)
    if (!volumes) continue
    const config = configOf(pool)
    for (const record of await volumeRecords.all({ pool: pool.id })) {
      const own = pathOfSource(await volumes.sourceOn(host, config, record))
      for (const each of record.reads ?? []) known.set(each, { record, isBacking: true })
      if (own !== null) known.set(own, { record, isBacking: false })
    }
  }
  const ids = await fileIds(host, [path, ...known.keys()])
  const id = ids.get(path)
  const same = [...known].filter(([each]) => id !== undefined && ids.get(each) === id).map(([, found]) => found)
  const itself = same.find(({ isBacking }) => !isBacking)
  if (itself) return knownPlace(itself.record)
  const [reader] = same
  if (!reader) return null
  const used_by = `volume ${reader.record.id}, as its backing file`
  return { pool: null, name: null, format: null, size_bytes: null, is_known: false, used_by }
}

/** Finds the volume that a disk source is, known or not, in the storage pools that a node reaches. */
export async function placeOf(host: Host, node: string, source: DiskSource): Promise<Found> {
  const pools = await poolsOf(node)
  const path = pathOfSource(source)
  const same = path === null ? null : await byIdentity(host, pools, path)
  if (same?.pool) return same
  for (const pool of pools) {
    const found = await driverOf(pool).volumes?.find?.(host, configOf(pool), source)
    if (!found) continue
    const known = await volumeRecords.get(volumeId(pool.id, found.name))
    return { ...found, pool: pool.id, is_known: known !== null, used_by: known?.used_by ?? null }
  }
  return same ?? { pool: null, name: null, format: null, size_bytes: null, is_known: false, used_by: null }
}

/** As {@link placeOf}; with a format also the backing files, and the size of an image in no storage pool. */
export async function locate({
  node,
  source,
  format,
}: Params<typeof volumesInternal, 'locate'>): Promise<Result<typeof volumesInternal, 'locate'>> {
  const { host } = await reach(node)
  const place = await placeOf(host, node, source)
  const path = pathOfSource(source)
  if (format === undefined || path === null) return { ...place, format: place.format ?? format ?? null, reads: [] }
  const reads = (await backingFiles(host, { path, format })).map((file) => file.path)
  if (place.pool !== null) return { ...place, reads }
  return { ...place, format, size_bytes: await sizeOfImage(host, path, format), reads }
}
