import { nameOfSource } from '#shared/contracts/storage/disk-source.ts'
import { basename, dirname } from 'node:path'
import { ConflictError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import {
  asideOf,
  beginAside,
  look,
  makeFile,
  markIn,
  putInPlace,
  removeAsides,
  removeOlder,
} from '#shared/nodes/host/made-files.ts'
import { log } from '#shared/runtime/log.ts'
import { fileOfOriginal } from '../../images/images.ts'
import { convertImage, imageInfo, isSparseInCopies, linkImage, punchHoles } from '../../images/qemu-img.ts'
import type { Copying, IfExists, Original } from '../driver.ts'

type Image = { path: string; format: string }

/** A file that a hypervisor fills: its path, and its device and inode. */
export type Aside = { path: string; file: string }

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
  return makeFile(host, path, write)
}

/** Makes a file beside the place of an image, for a hypervisor to fill. */
export async function openAside(
  host: Host,
  path: string,
  copy: string,
  write: (aside: string) => Promise<unknown>,
): Promise<Aside> {
  const aside = asideOf(path, copy)
  await removeOlder(host, path, aside)
  const file = await beginAside(host, aside)
  await write(aside)
  return { path: aside, file }
}

/**
 * Puts the file that a hypervisor has filled in its place. A repetition finds it there.
 * @throws ConflictError when it is another file than the one that the hypervisor got, or has another size
 */
export async function commitAside(
  host: Host,
  { path, format, size_bytes }: Image & { size_bytes: number },
  { path: aside, file }: Aside,
): Promise<void> {
  const mark = markIn(basename(aside))
  if (mark?.of !== basename(path) || dirname(aside) !== dirname(path))
    throw new ConflictError(`${aside} was not made for ${path}`)
  if ((await look(host, path))?.id !== file) {
    const { virtualSize } = await imageInfo(host, aside, format)
    if (virtualSize !== size_bytes)
      throw new ConflictError(`The copy ${aside} has ${virtualSize} bytes, the disk ${size_bytes}`)
    // A copy on a file system that cannot punch holes is larger, but complete.
    if (!isSparseInCopies(format))
      await punchHoles(host, aside, format).catch((error: unknown) => {
        if (!(error instanceof ConflictError)) throw error
        log('volumes').info({ err: error, path }, 'a copy is not sparse')
      })
    if (!(await putInPlace(host, { aside, id: file }, path)))
      throw new ConflictError(`${path} on ${host.describe()} is there already, and is not the copy`)
  }
  await removeAsides(host, path, ({ operation }) => operation === mark.operation)
}

/** Copies at once, sharing blocks until they are written, where the file system can (XFS, Btrfs). */
async function reflink(host: Host, path: string, aside: string, signal: AbortSignal): Promise<boolean> {
  const args = ['--reflink=always', '--sparse=auto', '--', path, aside]
  return (await host.run('cp', args, { signal })).code === 0
}

/** An independent copy of an image. @throws ConflictError when the copy came out smaller than the image */
export const copyFull = (host: Host, original: Original, to: Image, copying: Copying): Promise<boolean> =>
  createFile(host, to.path, copying, async (aside) => {
    const from = fileOfOriginal(original)
    const secrets = from.secret === undefined ? [] : [from.secret]
    const { backingFile, hasSnapshots, virtualSize } = await imageInfo(host, from.path, from.format, secrets)
    const isPlain = !original.tool && from.format === to.format && backingFile === null && !hasSnapshots
    // A reflink reads no bytes, so no limit applies to it.
    if (!isPlain || !(await reflink(host, from.path, aside, copying.signal)))
      await convertImage(host, from, { ...to, path: aside }, copying)
    const copied = await imageInfo(host, aside, to.format)
    if (copied.virtualSize < virtualSize)
      throw new ConflictError(
        `The copy of ${nameOfSource(original.source)} has ${copied.virtualSize} bytes instead of ${virtualSize}`,
      )
  })

/** A qcow2 image whose backing file is the original, of any format. */
export const copyLinked = (host: Host, original: Original, to: Image, how: IfExists): Promise<boolean> =>
  createFile(host, to.path, how, (aside) => linkImage(host, fileOfOriginal(original), { ...to, path: aside }))
