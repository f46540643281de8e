import { UnavailableError } from '#shared/errors.ts'
import type { FileEntry } from '#shared/contracts/storage/backup-files.ts'
import { displayOf, pathText, textOf } from './paths.ts'

/** An entry of a folder, with the bytes of its name. */
export type FoundEntry = Omit<FileEntry, 'path'> & { bytes: Buffer }

/** The format of `find` for an entry: fields that end with NUL, which no name has. */
export const entryFormat = String.raw`%y\0%m\0%U\0%G\0%s\0%T@\0%f\0%l\0`
const fieldsPerEntry = 8

const kinds: Record<string, FileEntry['kind']> = {
  f: 'file',
  d: 'folder',
  l: 'link',
  b: 'device',
  c: 'device',
  p: 'fifo',
  s: 'socket',
}

/** A time of the file system as text; null for one that no calendar has. */
export function timeOf(seconds: string): string | null {
  const milliseconds = Math.floor(Number(seconds) * 1000)
  const time = new Date(milliseconds)
  const year = Number.isNaN(time.getTime()) ? -1 : time.getUTCFullYear()
  return year < 1 || year > 9999 ? null : time.toISOString()
}

const counted = (field: string): number => {
  const value = Number(field)
  return Number.isSafeInteger(value) && value >= 0 ? value : 0
}

/** Reads the entries of a folder. @throws UnavailableError when the guest sends something else */
export function entriesIn(output: Buffer): FoundEntry[] {
  const fields: Buffer[] = []
  for (let from = 0; from < output.length;) {
    const end = output.indexOf(0, from)
    if (end < 0) break
    fields.push(output.subarray(from, end))
    from = end + 1
  }
  if (fields.length % fieldsPerEntry !== 0 || (output.length > 0 && output.at(-1) !== 0))
    throw new UnavailableError('The guest that reads files sends a listing that is cut off')
  const entries: FoundEntry[] = []
  for (let at = 0; at < fields.length; at += fieldsPerEntry) {
    const [kind, mode, uid, gid, size, time] = fields.slice(at, at + 6).map((field) => field.toString('latin1'))
    const [bytes, target] = [fields[at + 6]!, fields[at + 7]!]
    if (bytes.length === 0 || bytes.includes(0x2f)) throw new UnavailableError('A name in the listing has a slash')
    entries.push({
      name: displayOf(bytes),
      bytes,
      kind: kinds[kind!] ?? 'other',
      mode: /^[0-7]{1,4}$/.test(mode!) ? mode!.padStart(4, '0') : '0000',
      uid: counted(uid!),
      gid: counted(gid!),
      size_bytes: counted(size!),
      modified_at: timeOf(time!),
      target: kind === 'l' ? textOf(target) : null,
    })
  }
  return entries.toSorted((a, b) => Buffer.compare(a.bytes, b.bytes))
}

/** A page of entries, after the name in the cursor. */
export function pageOf(
  entries: readonly FoundEntry[],
  folder: readonly Buffer[],
  { cursor, limit }: { cursor?: string; limit: number },
): { data: FileEntry[]; next_cursor: string | null; total: number } {
  const after = cursor === undefined ? null : Buffer.from(cursor, 'base64url')
  const left = after ? entries.filter(({ bytes }) => Buffer.compare(bytes, after) > 0) : entries
  const page = left.slice(0, limit)
  return {
    data: page.map(({ bytes, ...entry }) => ({ ...entry, path: pathText([...folder, bytes]) })),
    next_cursor: left.length > limit ? page.at(-1)!.bytes.toString('base64url') : null,
    total: entries.length,
  }
}
