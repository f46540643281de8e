import { ConflictError } from '#shared/errors.ts'
import { secretFiles } from '#shared/nodes/host/secret-files.ts'
import type { Op } from '#shared/operation/kinds.ts'
import type { CopyDriver, LiveCopyDriver, Original, VolumeName } from '../drivers/driver.ts'
import type { OpenPool } from '../pools/open-pool.ts'
import type { Registered } from './make.ts'
import { requireRoom } from '../pools/room.ts'

/** @throws ConflictError for a storage pool into which no image can be copied */
export function copiesIn({ pool, volumes: { copies } }: OpenPool): CopyDriver {
  if (copies) return copies
  throw new ConflictError(`Storage pool '${pool.id}' cannot hold copies of images`)
}

/** @throws ConflictError for a storage pool into which no hypervisor can copy */
export function liveCopiesIn({ pool, volumes: { liveCopies } }: OpenPool): LiveCopyDriver {
  if (liveCopies) return liveCopies
  throw new ConflictError(`Storage pool '${pool.id}' cannot hold copies of running guests`)
}

/** A volume as an image to copy from, usable on the host. @param target the storage pool that the copy goes to */
export async function originalOf(
  { pool, config, host, volumes }: OpenPool,
  { name, format, head }: VolumeName,
  target?: OpenPool,
  secretFile: string = secretFiles[0],
): Promise<Original> {
  const volume = { name, format, head }
  await volumes.activate?.(host, config, volume)
  const source = await volumes.sourceOn(host, config, volume)
  const tool = volumes.toolFile?.(config, volume, secretFile)
  return { source, format, tool, ...(target?.pool.id === pool.id && { volume }) }
}

/** Copies an image into a registered volume, with progress in bytes. @returns as {@link CopyDriver.full} */
export async function copyFull(
  op: Op,
  original: Original,
  opened: OpenPool,
  { record, ifExists }: Registered,
  bytesPerSecond?: number,
): Promise<boolean> {
  const { config, host, volumes } = opened
  const { full, dataBytes } = copiesIn(opened)
  const total = await dataBytes(host, original)
  if (!(await volumes.exists(host, config, record))) await requireRoom(opened, total)
  op.progress(0, total, 'bytes')
  const onProgress = (done: number) => op.progress(done, total, 'bytes')
  const isMade = await full(host, original, config, record, {
    signal: op.signal,
    onProgress,
    ifExists,
    bytesPerSecond,
  })
  op.progress(total, total, 'bytes')
  return isMade
}
