import { Readable } from 'node:stream'
import { call } from '#shared/bus/call.ts'
import type { Result } from '#shared/contract/contract.ts'
import { backupArchives } from '#shared/contracts/storage/backup-archives.ts'
import { backupFiles } from '#shared/contracts/storage/backup-files.ts'
import { NotFoundError, UnavailableError } from '#shared/errors.ts'
import type { Archive } from '../drivers/parts.ts'

export type SavedFiles = Result<typeof backupArchives, 'describe'>

const answerWithinMs = 60_000

/** The container of a backup. */
export const savedFiles = (id: string): Promise<SavedFiles> =>
  call(backupArchives, 'describe', { id }, { isQuestion: true })

async function* bytesOf(id: string, place: string, signal: AbortSignal): AsyncGenerator<Buffer> {
  const { download_id, replica } = await call(backupArchives, 'open', { id, place })
  const there = { replica, timeoutMs: answerWithinMs }
  try {
    for (let offset = 0; ;) {
      signal.throwIfAborted()
      const { data, is_end } = await call(backupFiles, 'read', { download_id, offset }, there)
      const bytes = Buffer.from(data, 'base64')
      offset += bytes.length
      if (bytes.length > 0) yield bytes
      if (is_end) return
    }
  } finally {
    await call(backupFiles, 'close', { download_id }, there).catch((error: unknown) => {
      if (!(error instanceof UnavailableError) && !(error instanceof NotFoundError)) throw error
    })
  }
}

/** A part of the files of a backup, as an archive. */
export function archiveOf(
  id: string,
  { places }: Pick<SavedFiles, 'places'>,
  place: string,
  signal: AbortSignal,
): Archive {
  const found = places.find((each) => each.id === place)
  if (!found) throw new NotFoundError(`Backup '${id}' has no archive ${place}`)
  return { source: Readable.from(bytesOf(id, place, signal), { objectMode: false }), bytes: found.size_bytes }
}
