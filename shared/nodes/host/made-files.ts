/**
 * Files that are made aside, under a name of the try (try-mark.ts), and then put in place. A process that is stopped
 * between its check and its effect changes nothing that was made since: a link replaces no file, and only a file that is
 * still as it was before the check is removed.
 */
import { basename, dirname } from 'node:path'
import { ConflictError, NotFoundError, UnavailableError } from '#shared/errors.ts'
import { isOlder, readMark, textOfMark, type TryMark, tryMark } from '#shared/runtime/try-mark.ts'
import { requireCurrent } from '#shared/runtime/request-context.ts'
import { CommandError, errnoIn, fileError } from './errors.ts'
import type { Host } from './host.ts'

/** A file as it was looked at: `id` is its device and inode, `changedAt` the time of its last change, in seconds. */
export type Seen = { id: string; sizeBytes: number; changedAt: string }

/** Looks at a file, or at a link itself; null when nothing is there. */
export async function look(host: Host, path: string): Promise<Seen | null> {
  const { code, stdout, stderr } = await host.run('stat', ['--printf=%d:%i %s %.9Z', '--', path])
  const [id, sizeBytes, changedAt] = stdout.split(' ')
  if (code === 0 && id && changedAt) return { id, sizeBytes: Number(sizeBytes), changedAt }
  if (/No such file|Not a directory/.test(stderr)) return null
  throw new UnavailableError(`Cannot look at ${path} on ${host.describe()}: ${stderr.trim()}`)
}

/** Removes a file that is still as it was seen. @returns false when it is another one by now, or has changed */
async function removeSeen(host: Host, path: string, { id, changedAt }: Seen): Promise<boolean> {
  const inode = id.slice(id.indexOf(':') + 1)
  // One program compares and removes, so that a stop of this process comes before both or after both.
  const words = [path, '-maxdepth', '0', '-inum', inode, '!', '-newerct', `@${changedAt}`, '-delete', '-print']
  const { stdout, stderr } = await host.run('find', words)
  if (stdout !== '') return true
  if (/cannot delete|Permission denied/.test(stderr))
    throw new UnavailableError(`Cannot remove ${path} on ${host.describe()}: ${stderr.trim()}`)
  return false
}

const looks = 5

/** Removes the file that is at a path when this is called; one that is gone is fine. */
export async function removeFile(host: Host, path: string): Promise<void> {
  for (let tried = 0; tried < looks; tried++) {
    const seen = await look(host, path)
    await requireCurrent()
    if (!seen || (await removeSeen(host, path, seen))) return
  }
  throw new ConflictError(`${path} on ${host.describe()} changes all the time: it was not removed`, { retryable: true })
}

/** The name for a file that becomes the one at a path. @param operation instead of the running one */
export const asideOf = (path: string, operation?: string): string =>
  `${path}.${textOfMark({ ...tryMark(), ...(operation !== undefined && { operation }) })}.new`

/** The mark in the name of a file; null for another file. An earlier version wrote the id of the copy alone. */
export function markIn(name: string): (TryMark & { of: string }) | null {
  const [, of, text = ''] = /^(.+?)\.([0-9a-f]{8}-[0-9a-f-]{27}(?:\.[0-9a-f.-]+)?)\.new$/.exec(name) ?? []
  const mark = readMark(text) ?? readMark(`${text}.0.${text}.0`)
  return of !== undefined && mark ? { ...mark, of } : null
}

type Aside = { path: string; mark: TryMark }

/** The names of files in a folder; none where there is no folder. */
async function namesIn(host: Host, folder: string): Promise<string[]> {
  const files = await host.list(folder).catch((error: unknown) => {
    if (error instanceof NotFoundError) return []
    throw error
  })
  return files.map(({ name }) => name)
}

/** The files that were made aside for a path and are still there. @param names of the files in its folder */
export async function asidesOf(host: Host, path: string, names?: readonly string[]): Promise<Aside[]> {
  return (names ?? (await namesIn(host, dirname(path)))).flatMap((name) => {
    const mark = markIn(name)
    return mark?.of === basename(path) ? [{ path: `${dirname(path)}/${name}`, mark }] : []
  })
}

/**
 * Removes files that were made aside for a path. A process that a killed Horcrux has left behind may still write to one;
 * its writes go to an unlinked file from then on.
 */
export async function removeAsides(
  host: Host,
  path: string,
  isWanted: (mark: TryMark) => boolean = () => true,
  names?: readonly string[],
): Promise<void> {
  for (const aside of await asidesOf(host, path, names)) if (isWanted(aside.mark)) await host.remove(aside.path)
}

/** Removes the files of earlier tries of this operation. Those of other operations are left to the sweep. */
export const removeOlder = (host: Host, path: string, aside: string, names?: readonly string[]): Promise<void> => {
  const mark = markIn(basename(aside))
  return removeAsides(host, path, (other) => mark !== null && isOlder(other, mark), names)
}

/** Creates a file, unless there is one (`set -C`), and prints its device and inode. */
const beginScript = 'umask 177 && set -C && : >"$1" && exec stat --printf=%d:%i -- "$1"'

/**
 * Makes an empty file that only its owner reads, for a tool to write into: its own would be readable by all.
 * @returns the file's id
 */
export async function beginAside(host: Host, aside: string): Promise<string> {
  const { code, stdout, stderr } = await host.run('sh', ['-c', beginScript, 'sh', aside])
  if (code === 0) return stdout
  throw fileError(errnoIn(stderr), 'create', aside, host.describe(), new Error(stderr.trim()))
}

const otherFile = 113
/** Links a file to its place, if it has this device and inode, and removes its first name. */
const placeScript = `[ "$(stat --printf=%d:%i -- "$1")" = "$2" ] || exit ${otherFile}; ln -T -- "$1" "$3" && exec rm -f -- "$1"`

/**
 * Links a complete file to its place, and removes the name that it was made under. Not a rename: that would replace a file
 * that a guest may have open by now.
 * @returns false when something is in its place
 * @throws ConflictError when another file has the name of the one that was made, or none
 */
export async function putInPlace(host: Host, { aside, id }: { aside: string; id: string }, path: string) {
  const { code, stderr } = await host.run('sh', ['-c', placeScript, 'sh', aside, id, path])
  if (code === 0) return true
  if (code === otherFile)
    throw new ConflictError(
      `${aside} on ${host.describe()} is not the file that was made there: it is not put in place`,
    )
  if (/File exists/.test(stderr)) return false
  throw new CommandError('ln', code, stderr, host.describe())
}

/**
 * Makes a file aside and puts it in place. With `isReplacing` the file that is there is removed first. `names`: of the files
 * in its folder, if they were read just now.
 * @returns false, with nothing changed there, when something is in its place
 */
export async function makeFile(
  host: Host,
  path: string,
  write: (aside: string) => Promise<unknown>,
  { isReplacing = false, names }: { isReplacing?: boolean; names?: readonly string[] } = {},
): Promise<boolean> {
  const aside = asideOf(path)
  await removeOlder(host, path, aside, names)
  let isPlaced = false
  try {
    const id = await beginAside(host, aside)
    await write(aside)
    for (let tried = 0; ; tried++) {
      isPlaced = await putInPlace(host, { aside, id }, path)
      if (isPlaced) return true
      if (!isReplacing || tried === looks) return false
      await removeFile(host, path)
    }
  } finally {
    if (!isPlaced) await host.remove(aside)
  }
}
