import { ConflictError, NotFoundError } from '#shared/errors.ts'
import { openObjects } from '../../pools/open-pool.ts'
import { keyRecords } from '../keys/model.ts'
import { requireFitting, unlock } from '../keys/unlock.ts'
import type { BackupRecord } from '../model.ts'
import { type ContainerManifest, isOfContainer, type Manifest, readManifest, type VmManifest } from './manifest.ts'
import { encryptedObjects, type Objects, objectsOf } from './objects.ts'
import { DamagedPack } from './pack.ts'
import { configIn, prepareStore, putKeyFile } from './store.ts'

/**
 * Opens a backup store as it is stored, to list and remove objects without its key.
 * @throws ConflictError for a storage pool that is not active or holds no objects
 */
export async function openStored(pool: string, signal?: AbortSignal): Promise<Objects> {
  const { objects, host, config, pool: record } = await openObjects(pool)
  if (record.state !== 'active') throw new ConflictError(`Storage pool '${pool}' is not active`)
  return objectsOf(objects, host, config, signal)
}

/** The store of a storage pool with its key, if it is encrypted. @throws ConflictError for one whose key is not there */
export async function unlocked(pool: string, stored: Objects): Promise<Objects> {
  const record = await keyRecords.get(pool)
  requireFitting(pool, await configIn(stored), record)
  return record ? encryptedObjects(stored, await unlock(record)) : stored
}

/**
 * Writes the key file of an encrypted store, unless it is there. Recipients may change meanwhile: the record is read again
 * after the write, so that the newest file is there in the end.
 */
async function writeKeyFile(pool: string, objects: Objects): Promise<void> {
  for (let written: string | null = null; ;) {
    const record = await keyRecords.get(pool)
    if (!record || record.key_file === written) return
    await putKeyFile(objects, Buffer.from(record.key_file, 'base64'))
    written = record.key_file
  }
}

/** As {@link unlocked}, for writes: makes the store if there is none, and its key file if that is lost or changed. */
export async function prepared(pool: string, stored: Objects): Promise<Objects> {
  const objects = await unlocked(pool, stored)
  await writeKeyFile(pool, objects)
  await prepareStore(objects)
  return objects
}

/** Opens the backup store of a storage pool. @throws ConflictError as {@link openStored} and {@link unlocked} */
export const openStore = async (pool: string, signal?: AbortSignal): Promise<Objects> =>
  unlocked(pool, await openStored(pool, signal))

/** Opens the backup store of a storage pool to write to it, and makes it if there is none. @throws ConflictError as {@link openStore} */
export const openToWrite = async (pool: string): Promise<Objects> => prepared(pool, await openStored(pool))

/** Reads the manifest of a backup of a virtual machine. @throws ConflictError when it is damaged or gone, or of a container */
export async function manifestOf(record: BackupRecord): Promise<VmManifest> {
  const manifest = await readOwn(record)
  if (isOfContainer(manifest))
    throw new ConflictError(`Backup '${record.id}' is of a container, not of a virtual machine`)
  return manifest
}

/** Reads the manifest of a backup of a container. @throws ConflictError when it is damaged or gone, or of a virtual machine */
export async function containerManifestOf(record: BackupRecord): Promise<ContainerManifest> {
  const manifest = await readOwn(record)
  if (!isOfContainer(manifest))
    throw new ConflictError(`Backup '${record.id}' is of a virtual machine, not of a container`)
  return manifest
}

async function readOwn({ id, pool, manifest, manifest_sha256 }: BackupRecord): Promise<Manifest> {
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
