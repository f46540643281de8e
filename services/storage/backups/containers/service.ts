import { backupArchives } from '#shared/contracts/storage/backup-archives.ts'
import { containerBackups } from '#shared/contracts/storage/container-backups.ts'
import { NotFoundError } from '#shared/errors.ts'
import { newId } from '#shared/ids.ts'
import { requestContext } from '#shared/runtime/request-context.ts'
import { implement } from '#shared/service/implement.ts'
import { keepDownload } from '../../files/downloads.ts'
import { backupRecords } from '../model.ts'
import { chunkReader } from '../nbd/backup-disk.ts'
import { containerManifestOf, openStore } from '../store/open-store.ts'
import { archiveBytes } from './read-archive.ts'
import { restore } from './restore.ts'
import { create, createFor } from './save.ts'

export const containerBackupService = implement(containerBackups, { create, createFor, restore })

export const backupArchiveService = implement(backupArchives, {
  describe: async ({ id }) => {
    const { container, archives, left_out } = await containerManifestOf(await backupRecords.require(id))
    const places = archives.map(({ id: place, target, volume, size_bytes }) => ({
      id: place,
      target,
      volume,
      size_bytes,
    }))
    return { container, places, left_out }
  },
  open: async ({ id, place }) => {
    const record = await backupRecords.require(id)
    const archive = (await containerManifestOf(record)).archives.find((each) => each.id === place)
    if (!archive) throw new NotFoundError(`Backup '${id}' has no archive ${place}`)
    const over = new AbortController()
    const reader = await chunkReader(await openStore(record.pool), over.signal, () => undefined)
    const download_id = newId()
    keepDownload(download_id, archiveBytes(reader, archive), async () => over.abort())
    return { download_id, replica: requestContext()!.broker.nodeID }
  },
})
