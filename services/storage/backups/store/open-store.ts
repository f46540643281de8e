import { ConflictError, NotFoundError } from '#shared/errors.ts'
import { openObjects } from '../../pools/open-pool.ts'
import type { BackupRecord } from '../model.ts'
import { type Manifest, readManifest } from './manifest.ts'
import { type Objects, objectsOf } from './objects.ts'
import { DamagedPack } from './pack.ts'

/** Opens the backup store of a storage pool. @throws ConflictError for a storage pool that is not active or holds no objects */
export async function openStore(pool: string, signal?: AbortSignal): Promise<Objects> {
  const { objects, host, config, pool: record } = await openObjects(pool)
  if (record.state !== 'active') throw new ConflictError(`Storage pool '${pool}' is not active`)
  return objectsOf(objects, host, config, signal)
}

/** Reads the manifest of a backup. @throws ConflictError when it is damaged or gone */
export async function manifestOf({ id, pool, manifest, manifest_sha256 }: BackupRecord): Promise<Manifest> {
  if (manifest === null || manifest_sha256 === null) throw new ConflictError(`Backup '${id}' is not complete`)
  try {
    return await readManifest(await openStore(pool), manifest, manifest_sha256)
  } catch (error) {
    if (error instanceof DamagedPack)
      throw new ConflictError(`Backup '${id}' is damaged: ${error.message}`, { cause: error })
    if (error instanceof NotFoundError && error.details['kind'] !== 'Storage pool')
      throw new ConflictError(`Backup '${id}' is damaged: its manifest is gone`, { cause: error })
    throw error
  }
}
