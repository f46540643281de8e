import type { Params } from '#shared/contract/contract.ts'
import { type backupFiles, filePartBytes, type OpenedFiles } from '#shared/contracts/storage/backup-files.ts'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import { log } from '#shared/runtime/log.ts'
import { ownGuest } from './guests.ts'
import { displayOf, namesIn } from './paths.ts'

type Download = {
  close: () => Promise<void>
  output: AsyncIterator<Buffer, void>
  /** Bytes that the guest has sent, and the gateway has not fetched. */
  rest: Buffer
  /** Bytes that the gateway has fetched. */
  given: number
  touchedAt: number
}

const open = new Map<string, Download>()
/** A download from which nothing is fetched for so long ends: its client is gone. */
const idleMs = 120_000

/** A name for the file that the client saves: letters that every system takes. */
export function filenameOf(name: Buffer | undefined, fallback: string, format: 'tar' | 'raw'): string {
  const safe = displayOf(name ?? Buffer.from(fallback))
    .replaceAll(/[^A-Za-z0-9_.+-]+/g, '_')
    .slice(0, 100)
  return format === 'tar' ? `${safe}.tar` : safe
}

/** Keeps an output in this process, to be read in parts. */
export function keepDownload(id: string, output: AsyncIterator<Buffer, void>, close: () => Promise<void>): void {
  open.set(id, { close, output, rest: Buffer.alloc(0), given: 0, touchedAt: performance.now() })
}

/**
 * Starts a guest for a download, and its output.
 * @throws NotFoundError, ConflictError for what cannot be read, and for another thing than a file as raw
 */
export async function openDownload(
  download_id: string,
  { id, volume, path, format }: Params<typeof backupFiles, 'open'>,
): Promise<Omit<OpenedFiles, 'replica'>> {
  const names = namesIn(path)
  const session = await ownGuest(id)
  try {
    // The root is listed, so that it is mounted before the answer begins.
    const entry = names.length > 0 ? await session.entry(volume, names) : null
    if (!entry) await session.list(volume, [])
    if (format === 'raw' && entry?.kind !== 'file')
      throw new ConflictError(`${path} is no file: it is downloaded as tar`)
    const output = format === 'raw' ? session.content(volume, names) : session.archive(volume, names)
    keepDownload(download_id, output, () => session.close())
    const filename = filenameOf(names.at(-1), `${id}-${volume}`, format)
    return { download_id, filename, size_bytes: format === 'raw' ? entry!.size_bytes : null }
  } catch (error) {
    await session.close()
    throw error
  }
}

/** Collects the next part. `isEnd`: the guest says that all before was right. */
async function nextPart(download: Download): Promise<{ data: Buffer; isEnd: boolean }> {
  const pieces = [download.rest]
  let bytes = download.rest.length
  let isEnd = false
  while (bytes < filePartBytes && !isEnd) {
    const { value, done } = await download.output.next()
    if (done) isEnd = true
    else bytes += pieces[pieces.push(value) - 1]!.length
  }
  const all = Buffer.concat(pieces)
  download.rest = all.subarray(filePartBytes)
  const data = all.subarray(0, filePartBytes)
  return { data, isEnd: isEnd && download.rest.length === 0 }
}

/**
 * Reads on. The last part is given with the end, so that a client never has all bytes of an archive that is not whole.
 * @throws NotFoundError for a download that another replica has, or that has ended; the error of the guest
 */
export async function readDownload({
  download_id,
  offset,
}: Params<typeof backupFiles, 'read'>): Promise<{ data: string; is_end: boolean }> {
  const download = open.get(download_id)
  if (!download) throw new NotFoundError(`Download '${download_id}' has ended`)
  if (offset !== download.given)
    throw new ConflictError(`Download '${download_id}' is at ${download.given}, not ${offset}`)
  download.touchedAt = performance.now()
  const { data, isEnd } = await nextPart(download)
  download.given += data.length
  download.touchedAt = performance.now()
  return { data: data.toString('base64'), is_end: isEnd }
}

/** Ends a download, and its guest. One that is gone is fine. */
export async function closeDownload(id: string): Promise<void> {
  const download = open.get(id)
  open.delete(id)
  await download?.close()
}

export function endIdleDownloads(): void {
  for (const [id, { touchedAt }] of open) {
    if (performance.now() - touchedAt <= idleMs) continue
    log('storage').info({ download: id }, 'a download of files ends: nothing is fetched from it')
    void closeDownload(id)
  }
}

export const endAllDownloads = async (): Promise<void> => void (await Promise.all([...open.keys()].map(closeDownload)))
