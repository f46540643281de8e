import { ConflictError, UnavailableError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { withSecretFiles } from '#shared/nodes/host/secret-files.ts'
import type { DiskSource } from '#shared/contracts/storage/disk-source.ts'
import type { ImageFile } from './qemu-img.ts'

/**
 * An image that a guest has open, without QEMU's locks on files: a hypervisor that fills an image lets no other process read
 * it, because it may be half done. Here both are whole, and the guest is paused.
 */
export function unlocked(image: ImageFile, { type }: Pick<DiskSource, 'type'>): ImageFile {
  if (type === 'network') return image
  const file = { driver: type === 'block' ? 'host_device' : 'file', filename: image.path, locking: 'off' }
  return { ...image, path: `json:${JSON.stringify({ file })}` }
}

/**
 * Compares the content of two images, byte by byte; both may read zeros where the other has nothing. The secret of the first
 * is the first secret file, that of the other the second.
 * @param how.isOpen a guest that is paused has them open
 * @returns null when they are the same, else the difference in the words of the tool
 * @throws UnavailableError when it takes longer than the limit
 */
export async function differenceOf(
  host: Host,
  one: ImageFile,
  other: ImageFile,
  { isOpen, timeoutMs }: { isOpen: boolean; timeoutMs: number },
): Promise<string | null> {
  const secrets = one.secret === undefined && other.secret === undefined ? [] : [one.secret ?? '', other.secret ?? '']
  const words = ['compare', ...(isOpen ? ['-U'] : []), '-f', one.format, '-F', other.format, one.path, other.path]
  const { code, stdout, stderr } = await withSecretFiles(host, 'qemu-img', words, secrets, { timeoutMs })
  if (code === 0) return null
  if (code === 1) return stdout.trim()
  const said = `qemu-img on ${host.describe()} cannot compare the images: ${stderr.trim().slice(-500)}`
  throw code > 128 ? new UnavailableError(said) : new ConflictError(said)
}
