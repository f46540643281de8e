import { recordAudit } from '#shared/audit/audit.ts'
import { requireRight } from '#shared/access/require-right.ts'
import { volumeDownloads } from '#shared/contracts/storage/volume-downloads.ts'
import { newId } from '#shared/ids.ts'
import { requestContext } from '#shared/runtime/request-context.ts'
import { implement } from '#shared/service/implement.ts'
import { apiPathOf, findVolume } from '../volumes/records.ts'
import { closeFile, openFile, readFile } from './open-files.ts'
import { sourceOf, tagOf } from './source.ts'

export const volumeDownloadService = implement(volumeDownloads, {
  open: async (asked, call) => {
    const { id, volume, snapshot } = asked
    const { used_by } = await findVolume(id, volume)
    // It has the data of a guest, as a backup has.
    if (used_by !== null) requireRight(call, 'VmBackup', used_by)
    const tag = await tagOf(asked)
    const download_id = newId()
    const { size_bytes } = await openFile(download_id, await sourceOf(asked), asked, tag)
    const { caller, requestId: request_id } = call
    await recordAudit({
      caller,
      kind: 'volume_downloaded',
      path: apiPathOf(id, volume),
      action: 'volume-downloads.download',
      ...(snapshot !== undefined && { message: `snapshot ${snapshot}` }),
      result: 'success',
      request_id,
    }).catch(async (error: unknown) => {
      await closeFile(download_id)
      throw error
    })
    return { download_id, replica: requestContext()!.broker.nodeID, size_bytes, owner: used_by, tag }
  },
  read: readFile,
  close: async ({ download_id }) => {
    await closeFile(download_id)
    return null
  },
})
