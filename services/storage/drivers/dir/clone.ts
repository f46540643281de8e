import { randomUUID } from 'node:crypto'
import { basename, dirname } from 'node:path'
import { requestContext } from '#shared/runtime/request-context.ts'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import { CommandError } from '#shared/nodes/host/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { log } from '#shared/runtime/log.ts'
import type { Again, Copying, Origin } from '../driver.ts'
import { dataBytes, imageInfo, longQemuImg, optionsOf, percentIn, punchHoles, qemuImg } from '../../images/qemu-img.ts'

type Image = { path: string; format: string }

const isAsideOf = (name: string, path: string) =>
  name.startsWith(`${basename(path)}.`) && /^\.[0-9a-f-]{36}\.new$/.test(name.slice(basename(path).length))

/**
 * Removes what copies that never came to their end have left beside an image. A process that still writes to one, because
 * the Horcrux that began it was killed, writes to a file without a name from then on.
 */
export async function removeAsides(host: Host, path: string): Promise<void> {
  const files = await host.list(dirname(path)).catch((error: unknown) => {
    if (error instanceof NotFoundError) return []
    throw error
  })
  for (const { name } of files) if (isAsideOf(name, path)) await host.remove(`${dirname(path)}/${name}`)
}

const asideOf = (path: string, copy: string) => `${path}.${copy}.new`

/**
 * An empty file that only its owner reads, for qemu-img to write to: it would make one that everybody reads. libvirt gives
 * a disk, and what it is based on, to the user of its QEMU when a guest starts with it.
 */
const begin = (host: Host, aside: string) => host.createExclusive(aside, '', { mode: 0o600 })

/**
 * Puts what is whole in its place. A link, not a rename: it never replaces a disk that a guest has open by now.
 * @returns false when something is in its place
 */
async function place(host: Host, aside: string, path: string): Promise<boolean> {
  requestContext()?.requireLease?.()
  try {
    await host.runChecked('ln', ['-T', '--', aside, path])
    return true
  } catch (error) {
    if (error instanceof CommandError && /File exists/.test(error.stderr)) return false
    throw error
  }
}

/** `again`: what is in its place has been made for this before. */
type To = Image & Again

/** A new image without content. @returns as {@link make} */
export const createEmpty = (host: Host, to: To & { size_bytes: number }): Promise<boolean> =>
  make(host, to, (aside) => {
    const { format, size_bytes } = to
    return qemuImg(host, ['create', '-q', '-f', format, ...optionsOf(format), aside, String(size_bytes)])
  })

/**
 * Has an image made under a name that nobody else uses, and puts it in its place.
 * @returns false, with nothing changed there, when something else is in its place
 */
async function make(host: Host, { path, again }: To, write: (aside: string) => Promise<unknown>): Promise<boolean> {
  if (await host.stat(path)) return again
  await removeAsides(host, path)
  const aside = asideOf(path, randomUUID())
  try {
    await begin(host, aside)
    await write(aside)
    return await place(host, aside, path)
  } finally {
    await host.remove(aside)
  }
}

/** An empty image beside an image's place, for somebody else to fill. */
export async function openAside(host: Host, to: Image & { size_bytes: number }, copy: string): Promise<string> {
  const { path, format, size_bytes } = to
  await removeAsides(host, path)
  const aside = asideOf(path, copy)
  await begin(host, aside)
  await qemuImg(host, ['create', '-q', '-f', format, ...optionsOf(format), aside, String(size_bytes)])
  return aside
}

/** Puts an image that somebody else has filled in its place. */
export async function placeAside(host: Host, { path, format }: Image, copy: string): Promise<void> {
  const aside = asideOf(path, copy)
  if (!(await host.stat(path))) {
    // QEMU reserves space for the zeros of a raw image that it copies to. Where it cannot be given back, the copy is as good.
    if (format === 'raw')
      await punchHoles(host, aside).catch((error: unknown) => {
        if (!(error instanceof ConflictError)) throw error
        log('volumes').info({ err: error, path }, 'a copy is not sparse')
      })
    await place(host, aside, path)
  }
  await removeAsides(host, path)
}

/** A copy that shares its blocks until they are written, at once, where the file system can (XFS, Btrfs). */
async function reflink(host: Host, source: Origin, aside: string, signal: AbortSignal): Promise<boolean> {
  const args = ['--reflink=always', '--sparse=auto', '--', source.path, aside]
  return (await host.run('cp', args, { signal })).code === 0
}

async function convert(host: Host, source: Origin, to: Image, { signal, onProgress }: Copying): Promise<void> {
  const total = await dataBytes(host, source.path, source.format)
  const heard = (chunk: Buffer) => {
    const percent = percentIn(chunk.toString('latin1'))
    if (percent !== undefined) onProgress(Math.round((total * percent) / 100))
  }
  // With writeback the copy is on the disk when qemu-img ends; its default leaves it to the page cache.
  const args = ['convert', '-p', '-t', 'writeback', '-f', source.format, '-O', to.format, ...optionsOf(to.format)]
  await longQemuImg(host, [...args, source.path, to.path], { signal, onStdout: heard })
}

/** A copy of its own of an image, blocks shared with nothing but by the file system. */
export const cloneFull = (host: Host, source: Origin, to: To, copying: Copying): Promise<boolean> =>
  make(host, to, async (aside) => {
    const isPlain = async () => {
      const { backingFile, hasSnapshots } = await imageInfo(host, source.path, source.format)
      return backingFile === null && !hasSnapshots
    }
    if (source.format === to.format && (await isPlain()) && (await reflink(host, source, aside, copying.signal))) return
    await convert(host, source, { ...to, path: aside }, copying)
  })

/** A qcow2 image whose backing file is the source, of whatever format that is. */
export const cloneLinked = (host: Host, source: Origin, to: To): Promise<boolean> =>
  make(host, to, (aside) => {
    const backing = ['-b', source.path, '-F', source.format]
    return qemuImg(host, ['create', '-q', '-f', to.format, ...optionsOf(to.format), ...backing, aside])
  })
