import type { Params, Result } from '#shared/contract/contract.ts'
import type { Volume } from '#shared/contracts/storage/volumes.ts'
import type { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { ConflictError } from '#shared/errors.ts'
import { secretFiles } from '#shared/nodes/host/secret-files.ts'
import { differenceOf, unlocked } from '../images/compare.ts'
import { fileOfOriginal } from '../images/images.ts'
import { openActivePool, openPool } from '../pools/open-pool.ts'
import { requireRoom } from '../pools/room.ts'
import { originalOf } from './copy.ts'
import { makeVolume } from './make.ts'
import { requireNoClones, requireNoSnapshots, requireOwned, viewOf } from './records.ts'

type Contract = typeof volumesInternal

/** @throws ConflictError for a volume that other things need where it is */
export async function requireMovable({ id, volume, owner }: Params<Contract, 'requireMovable'>): Promise<null> {
  const record = await requireOwned(id, volume, owner)
  await requireNoClones(record.id, 'be moved')
  requireNoSnapshots(record, 'be moved')
  return null
}

/** Makes an empty volume of the size of another one, for a hypervisor that moves the disk of a running guest. */
export async function openMove({
  id,
  volume,
  owner,
  pool,
  name,
  format,
  node,
}: Params<Contract, 'openMove'>): Promise<Volume> {
  await requireMovable({ id, volume, owner })
  const source = await requireOwned(id, volume, owner)
  const opened = await openActivePool(pool, node)
  const spec = { pool, name, format, size_bytes: source.size_bytes }
  const from = await openPool(id, node)
  const data = await from.volumes.copies?.dataBytes(from.host, await originalOf(from, source))
  const needed = opened.volumes.liveCopies?.bytesNeeded(spec, data ?? source.size_bytes) ?? data ?? source.size_bytes
  if (!(await opened.volumes.exists(opened.host, opened.config, spec))) await requireRoom(opened, needed)
  return viewOf(await makeVolume(spec, owner, node), node)
}

/** Compares a volume with the copy of it, byte by byte. @throws ConflictError when they differ */
export async function compareFor({
  id,
  volume,
  pool,
  name,
  owner,
  node,
  is_open,
  limit_ms,
}: Params<Contract, 'compareFor'>): Promise<Result<Contract, 'compareFor'>> {
  const [from, to] = [await requireOwned(id, volume, owner), await requireOwned(pool, name, owner)]
  const one = await originalOf(await openPool(id, node), from, undefined, secretFiles[0])
  const other = await originalOf(await openPool(pool, node), to, undefined, secretFiles[1])
  const { host } = await openPool(id, node)
  const how = { isOpen: is_open, timeoutMs: limit_ms }
  const [left, right] = [one, other].map((each) => {
    const file = fileOfOriginal(each)
    return is_open ? unlocked(file, each.source) : file
  })
  const difference = await differenceOf(host, left!, right!, how)
  if (difference === null && from.size_bytes === to.size_bytes) return { bytes: from.size_bytes }
  throw new ConflictError(
    `Volume '${to.id}' is not the same as '${from.id}': ${difference ?? `${to.size_bytes} bytes, not ${from.size_bytes}`}`,
  )
}
