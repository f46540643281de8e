import { recordAudit } from '#shared/audit/audit.ts'
import { backupFiles } from '#shared/contracts/storage/backup-files.ts'
import { newId } from '#shared/ids.ts'
import { log } from '#shared/runtime/log.ts'
import { requestContext } from '#shared/runtime/request-context.ts'
import { implement } from '#shared/service/implement.ts'
import { apiPathOf } from '../backups/model.ts'
import { closeDownload, endAllDownloads, endIdleDownloads, openDownload, readDownload } from './downloads.ts'
import { pageOf } from './entries.ts'
import { endAllGuests, endIdleGuests, withGuest } from './guests.ts'
import { sweepFolders } from './guest/start.ts'
import { namesIn } from './paths.ts'

export const backupFileService = implement(backupFiles, {
  volumes: ({ id }) =>
    withGuest(id, ({ volumes, problems }) =>
      Promise.resolve({ id, volumes: volumes.map(({ device: _, ...volume }) => volume), problems }),
    ),

  list: async ({ id, volume, path, cursor, limit }) => {
    const names = namesIn(path)
    const entries = await withGuest(id, (session) => session.list(volume, names))
    return pageOf(entries, names, { ...(cursor !== undefined && { cursor }), limit })
  },

  open: async (asked, { caller, requestId: request_id }) => {
    const { id, volume, path, format } = asked
    const download_id = newId()
    const opened = await openDownload(download_id, asked)
    await recordAudit({
      caller,
      kind: 'backup_files_downloaded',
      path: apiPathOf(id),
      action: 'backup-files.download',
      message: `${volume}:${path} as ${format}`,
      result: 'success',
      request_id,
    }).catch(async (error: unknown) => {
      await closeDownload(download_id)
      throw error
    })
    return { ...opened, replica: requestContext()!.broker.nodeID }
  },
  read: readDownload,
  close: async ({ download_id }) => {
    await closeDownload(download_id)
    return null
  },
})

const sweepEveryMs = 10_000

/** Ends guests and downloads that nobody uses any more. @returns the function that ends all of them */
export function endFilesRegularly(): () => Promise<void> {
  sweepFolders().catch((error: unknown) =>
    log('storage').warn({ err: error as Error }, 'folders of earlier guests were not removed'),
  )
  const timer = setInterval(() => {
    endIdleGuests()
    endIdleDownloads()
  }, sweepEveryMs).unref()
  return async () => {
    clearInterval(timer)
    await Promise.all([endAllGuests(), endAllDownloads()])
  }
}
