import { AppError } from '#shared/errors.ts'
import { requireFree } from '#shared/operation/locks.ts'
import { log } from '#shared/runtime/log.ts'
import { every } from '#shared/runtime/repeat.ts'
import { volumeRecords } from '../models.ts'
import { deleteVolume } from './make.ts'
import { apiPathOf } from './records.ts'

const everyMs = 2 * 60 * 1000

/**
 * Deletes volumes whose deletion could not end because their storage pool was away. Those that an operation holds are left to
 * it; no other operation can begin with a volume that is being deleted.
 */
export async function sweepDeleted(): Promise<void> {
  for (const { id, pool, name, used_by } of await volumeRecords.all({ deleting: true }))
    try {
      await requireFree(apiPathOf(pool, name))
      await deleteVolume({ pool, name }, used_by)
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      log('volumes').debug({ err: error, volume: id }, 'not deleted yet')
    }
}

/** @returns a function that stops it */
export const sweepDeletedRegularly = (): (() => void) =>
  every(everyMs, sweepDeleted, { part: 'volumes', failed: 'deleted volumes could not be swept' })
