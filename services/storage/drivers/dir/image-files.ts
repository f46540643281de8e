import { randomUUID } from 'node:crypto'
import { basename, dirname } from 'node:path'
import { requireCurrent } from '#shared/runtime/request-context.ts'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import { CommandError } from '#shared/nodes/host/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { log } from '#shared/runtime/log.ts'
import { pathOfOriginal } from '../../images/images.ts'
import { convertImage, imageInfo, isSparseInCopies, linkImage, punchHoles } from '../../images/qemu-img.ts'
import type { Copying, IfExists, Original } from '../driver.ts'

type Image = { path: string; format: string }

const isAsideOf = (name: string, path: string) =>
  name.startsWith(`${basename(path)}.`) && /^\.[0-9a-f-]{36}\.new$/.test(name.slice(basename(path).length))

const asideOf = (path: string, copy: string) => `${path}.${copy}.new`

/**
 * Removes the files that interrupted copies have left beside an image. A process that a killed Horcrux has left behind
 * may still write to one; its writes go to an unlinked file from then on.
 */
export async function removeAsides(host: Host, path: string): Promise<void> {
  const files = await host.list(dirname(path)).catch((error: unknown) => {
    if (error instanceof NotFoundError) return []
    throw error
  })
  for (const { name } of files) if (isAsideOf(name, path)) await host.remove(`${dirname(path)}/${name}`)
}

/**
 * Makes an empty file that only its owner reads, for qemu-img to write to: its own would be readable by all. libvirt
 * gives a disk and its backing files to the user of QEMU when a guest starts.
 */
const beginAside = (host: Host, aside: string) => host.createExclusive(aside, '', { mode: 0o600 })

/**
 * Links a complete file to its place. Not a rename: that would replace a disk that a guest may have open by now.
 * @returns false when something is in its place
 */
async function putInPlace(host: Host, aside: string, path: string): Promise<boolean> {
  await requireCurrent()
  try {
    await host.runChecked('ln', ['-T', '--', aside, path])
    return true
  } catch (error) {
    if (error instanceof CommandError && /File exists/.test(error.stderr)) return false
    throw error
  }
}

/**
 * Writes a file under a name of its own, and puts it in its place when it is complete.
 * @returns false, with nothing changed there, when something else is in its place
 */
export async function createFile(
  host: Host,
  path: string,
  { ifExists }: IfExists,
  write: (aside: string) => Promise<unknown>,
): Promise<boolean> {
  if (await host.stat(path)) return ifExists === 'accept'
  await removeAsides(host, path)
  const aside = asideOf(path, randomUUID())
  try {
    await beginAside(host, aside)
    await write(aside)
    return await putInPlace(host, aside, path)
  } finally {
    await host.remove(aside)
  }
}

/** Makes a file beside the place of an image, for a hypervisor to fill. @returns its path */
export async function openAside(
  host: Host,
  path: string,
  copy: string,
  write: (aside: string) => Promise<unknown>,
): Promise<string> {
  await removeAsides(host, path)
  const aside = asideOf(path, copy)
  await beginAside(host, aside)
  await write(aside)
  return aside
}

/** Puts a file that a hypervisor has filled in its place. */
export async function commitAside(host: Host, { path, format }: Image, copy: string): Promise<void> {
  const aside = asideOf(path, copy)
  if (!(await host.stat(path))) {
    // A copy on a file system that cannot punch holes is larger, but complete.
    if (!isSparseInCopies(format))
      await punchHoles(host, aside, format).catch((error: unknown) => {
        if (!(error instanceof ConflictError)) throw error
        log('volumes').info({ err: error, path }, 'a copy is not sparse')
      })
    await putInPlace(host, aside, path)
  }
  await removeAsides(host, path)
}

/** Copies at once, sharing blocks until they are written, where the file system can (XFS, Btrfs). */
async function reflink(host: Host, path: string, aside: string, signal: AbortSignal): Promise<boolean> {
  const args = ['--reflink=always', '--sparse=auto', '--', path, aside]
  return (await host.run('cp', args, { signal })).code === 0
}

/** An independent copy of an image. */
export const copyFull = (host: Host, original: Original, to: Image, copying: Copying): Promise<boolean> =>
  createFile(host, to.path, copying, async (aside) => {
    const from = { path: pathOfOriginal(original), format: original.format }
    const isPlain = async () => {
      const { backingFile, hasSnapshots } = await imageInfo(host, from.path, from.format)
      return backingFile === null && !hasSnapshots
    }
    if (from.format === to.format && (await isPlain()) && (await reflink(host, from.path, aside, copying.signal)))
      return
    await convertImage(host, from, { ...to, path: aside }, copying)
  })

/** A qcow2 image whose backing file is the original, of any format. */
export const copyLinked = (host: Host, original: Original, to: Image, how: IfExists): Promise<boolean> =>
  createFile(host, to.path, how, (aside) =>
    linkImage(host, { path: pathOfOriginal(original), format: original.format }, { ...to, path: aside }),
  )
