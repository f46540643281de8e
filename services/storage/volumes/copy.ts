import { ConflictError } from '#shared/errors.ts'
import type { Op } from '#shared/operation/kinds.ts'
import type { CopyDriver, LiveCopyDriver, Original } from '../drivers/driver.ts'
import type { VolumeRecord } from '../models.ts'
import type { OpenPool } from '../pools/open-pool.ts'
import type { Registered } from './make.ts'
import { requireSpace } from './records.ts'

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

/** A volume as an image to copy from. */
export const originalOf = async ({ config, host, volumes }: OpenPool, volume: VolumeRecord): Promise<Original> => ({
  source: await volumes.sourceOn(host, config, volume),
  format: volume.format,
})

/** Copies an image into a registered volume, with progress in bytes. @returns as {@link CopyDriver.full} */
export async function copyFull(
  op: Op,
  original: Original,
  opened: OpenPool,
  { record, ifExists }: Registered,
): Promise<boolean> {
  const { config, host, volumes } = opened
  const { full, dataBytes } = copiesIn(opened)
  const total = await dataBytes(host, original)
  if (!(await volumes.exists(host, config, record))) await requireSpace(opened, total)
  op.progress(0, total, 'bytes')
  const onProgress = (done: number) => op.progress(done, total, 'bytes')
  const isMade = await full(host, original, config, record, { signal: op.signal, onProgress, ifExists })
  op.progress(total, total, 'bytes')
  return isMade
}
