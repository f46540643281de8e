import type { FileKind } from '#shared/contracts/storage/backup-files.ts'
import { BrokenTarError, readTar, tarEnd, type TarEntry } from '#shared/tar/read-tar.ts'

/** An entry of an archive in the index of it, one a line of JSON. */
export type IndexEntry = {
  /** Names from the root, as bytes in latin1. */
  p: string
  k: (typeof FileKind.enum)[number]
  m: number
  u: number
  g: number
  s: number
  t: number
  /** Target of a link. */
  l?: string
  /** Places in the archive: its headers, its content. */
  h: number
  d: number
}

const kinds: Record<string, IndexEntry['k']> = {
  '0': 'file',
  // Another name of a file before it, whose content is there.
  '1': 'file',
  '2': 'link',
  '3': 'device',
  '4': 'device',
  '5': 'folder',
  '6': 'fifo',
  '7': 'file',
}

/** The path of an entry from the root, without the slashes at its ends. */
export const pathOf = (path: Buffer): string =>
  path
    .toString('latin1')
    .replace(/^(\.?\/)+|^\.$/, '')
    .replace(/\/+$/, '')

function lineOf(
  { path, type, mode, uid, gid, size, mtimeSeconds, target }: TarEntry,
  h: number,
  d: number,
): IndexEntry {
  const own = {
    p: pathOf(path),
    k: kinds[type] ?? 'other',
    m: mode,
    u: uid,
    g: gid,
    s: size,
    t: Math.floor(mtimeSeconds),
  }
  return { ...own, ...(target.length > 0 && { l: target.toString('latin1') }), h, d }
}

/** Archives of files that no tool can unpack. */
export class UnreadableArchiveError extends Error {}

/**
 * Passes an archive on, byte for byte but for the padding behind its end, and tells of each of its entries.
 * @throws UnreadableArchiveError for bytes that are no archive, or end before it does
 */
export async function* withEntries(
  source: AsyncIterable<Buffer>,
  onEntry: (entry: IndexEntry) => void,
): AsyncGenerator<Buffer> {
  let at = 0
  try {
    for await (const part of readTar(source)) {
      if (part.kind === 'entry') {
        const { headers } = part.entry
        onEntry(lineOf(part.entry, at, at + headers.length))
        at += headers.length
        yield headers
      } else {
        at += part.bytes.length
        yield part.bytes
      }
    }
  } catch (error) {
    if (!(error instanceof BrokenTarError)) throw error
    throw new UnreadableArchiveError(error.message, { cause: error })
  }
  yield tarEnd
}
