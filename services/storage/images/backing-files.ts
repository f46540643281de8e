import { ConflictError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { qemuImg } from './qemu-img.ts'

const mostBackingFiles = 200

/**
 * The backing files of an image, the nearest first, each read from the header of the one before. The list ends at a file
 * that cannot be read, and at one that is not a path, such as an image on another machine.
 */
export async function backingFiles(host: Host, image: { path: string; format: string }): Promise<(typeof image)[]> {
  const found: (typeof image)[] = []
  let next: { path: string; format?: string } = image
  while (found.length < mostBackingFiles) {
    const named = next.format === undefined ? [] : ['-f', next.format]
    const said = await qemuImg(host, ['info', '-U', '--output=json', ...named, next.path]).catch((error: unknown) => {
      if (error instanceof ConflictError) return null
      throw error
    })
    if (said === null) break
    const { format, ...info } = JSON.parse(said) as {
      format: string
      'full-backing-filename'?: string
      'backing-filename-format'?: string
    }
    if (next !== image) found.push({ path: next.path, format })
    const [path, backingFormat] = [info['full-backing-filename'], info['backing-filename-format']]
    if (path === undefined || !path.startsWith('/') || found.some((each) => each.path === path)) break
    next = { path, ...(backingFormat !== undefined && { format: backingFormat }) }
  }
  return found
}

/** @throws ConflictError for an image that names other files or is encrypted */
export async function requireOneFile(host: Host, path: string, format: string): Promise<void> {
  const said = JSON.parse(await qemuImg(host, ['info', '-U', '--output=json', '-f', format, path])) as {
    'backing-filename'?: string
    encrypted?: boolean
    'format-specific'?: { data?: { 'data-file'?: string } }
  }
  if (said['backing-filename'] !== undefined) throw new ConflictError('has a backing file: flatten it first')
  if (said['format-specific']?.data?.['data-file'] !== undefined)
    throw new ConflictError('has its data in another file')
  if (said.encrypted) throw new ConflictError('is encrypted')
}
