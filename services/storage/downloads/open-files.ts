import { asService } from '#shared/access/access.ts'
import type { Params } from '#shared/contract/contract.ts'
import type { volumeDownloads } from '#shared/contracts/storage/volume-downloads.ts'
import { AppError, ConflictError, NotFoundError, UnavailableError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { log } from '#shared/runtime/log.ts'
import { requestContext, within } from '#shared/runtime/request-context.ts'
import { withImage } from '../backups/nbd/open-image.ts'
import type { Original } from '../drivers/driver.ts'
import { type Asked, tagOf } from './source.ts'
import { type FileContent, fileContent } from './file-content.ts'

type OpenFile = {
  content: FileContent
  /** @throws ConflictError, NotFoundError when the content has changed since it was opened */
  check: () => Promise<void>
  /** The reason of an end that nobody asked for. */
  failure: Error | null
  touchedAt: number
  close: () => Promise<void>
}

const open = new Map<string, OpenFile>()
/** Each has a qemu-nbd on a node. */
const mostFiles = 32
const checkEveryMs = 1000
/** A file that nobody has read from for so long is closed: its client is gone, or can go on with a Range. */
const idleMs = 120_000

/** Opens an image as a file in this replica. @throws UnavailableError when too many are open */
export async function openFile(
  id: string,
  { host, original }: { host: Host; original: Original },
  asked: Asked,
  tag: string,
): Promise<{ size_bytes: number }> {
  if (open.size >= mostFiles)
    throw new UnavailableError(`${mostFiles} downloads are open, which is the most; try again later`)
  const over = new AbortController()
  const opened = Promise.withResolvers<FileContent>()
  const closing = Promise.withResolvers<void>()
  const ended = withImage(host, original, { isWritten: false, signal: over.signal }, async (image) => {
    opened.resolve(await fileContent(image, asked.format))
    await closing.promise
  }).catch((error: unknown) => {
    opened.reject(error)
    if (!over.signal.aborted) log('storage').warn({ err: error, download: id }, 'the image of a download was lost')
  })
  const end = async (reason: Error) => {
    over.abort(reason)
    closing.resolve()
    await ended
  }
  const check = async () => {
    if ((await tagOf(asked)) !== tag)
      throw new ConflictError(`Volume '${asked.id}/${asked.volume}' has changed while it was downloaded`)
  }
  const content = await opened.promise
  // The context of the request has its deadline, and ends with it.
  const context = { broker: requestContext()!.broker, service: 'storage', caller: asService('storage'), requestId: id }
  const watch = setInterval(() => void within(context, () => look(id)).catch(() => undefined), checkEveryMs)
  watch.unref()
  open.set(id, {
    content,
    check,
    failure: null,
    touchedAt: performance.now(),
    close: async () => {
      clearInterval(watch)
      await end(new NotFoundError(`Download '${id}' has ended`))
    },
  })
  return content
}

/** Ends a file that is idle, or whose content has changed. A service that does not answer is asked again. */
async function look(id: string): Promise<void> {
  const file = open.get(id)
  if (!file || file.failure) return
  const idle = performance.now() - file.touchedAt > idleMs
  if (idle) return closeFile(id)
  try {
    await file.check()
  } catch (error) {
    if (!(error instanceof AppError) || error instanceof UnavailableError) return
    // Kept until its reader has been told.
    file.failure = error
    await file.close()
    setTimeout(() => open.delete(id), idleMs).unref()
  }
}

/** @throws NotFoundError for a file that another replica has, or that has ended; the error of a content that has changed */
export async function readFile({
  download_id,
  offset,
  length,
  is_last,
}: Params<typeof volumeDownloads, 'read'>): Promise<{ data: string }> {
  const file = open.get(download_id)
  if (!file) throw new NotFoundError(`Download '${download_id}' has ended`)
  if (file.failure) throw file.failure
  file.touchedAt = performance.now()
  const bytes = Math.min(length, Math.max(0, file.content.size_bytes - offset))
  const data = bytes === 0 ? Buffer.alloc(0) : await file.content.read(offset, bytes)
  if (is_last) await file.check()
  return { data: data.toString('base64') }
}

/** Closes a file of this replica; its qemu-nbd has ended then. One that is gone is fine. */
export async function closeFile(id: string): Promise<void> {
  const file = open.get(id)
  open.delete(id)
  await file?.close()
}

export const closeAllFiles = async (): Promise<void> => void (await Promise.all([...open.keys()].map(closeFile)))
