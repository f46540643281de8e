import { nameOfSource, pathOfSource } from '#shared/contracts/storage/disk-source.ts'
import { ConflictError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { type Part, pathOfPart, readImage } from './complete-image.ts'
import type { Original } from '../drivers/driver.ts'
import { dataBytes, type ImageFile, imageInfo } from './qemu-img.ts'

/** The image as tools read it. @throws ConflictError for a network image that no driver describes */
export function fileOfOriginal({ source, format, tool }: Original): ImageFile {
  if (tool) return { ...tool, format }
  const path = pathOfSource(source)
  if (path === null) throw new ConflictError(`${nameOfSource(source)} is a network image, which cannot be read here`)
  return { path, format }
}

/** Bytes of data in an image that is copied. */
export function dataBytesOf(host: Host, original: Original): Promise<number> {
  const { path, format, secret } = fileOfOriginal(original)
  return dataBytes(host, path, format, secret === undefined ? [] : [secret])
}

/** Size of the disk in an image that is in no storage pool. */
export const sizeOfImage = async (host: Host, path: string, format: string): Promise<number> =>
  (await imageInfo(host, path, format)).virtualSize

export type Image = { format: string; size_bytes: number; data_bytes: number }

/** Reads a file, or a part of one, that is not ours as an image. @throws ConflictError for one that is incomplete or cannot be copied */
export async function inspectImage(host: Host, path: string, part?: Part): Promise<Image> {
  const { format, virtualSize } = await readImage(host, path, part)
  return { format, size_bytes: virtualSize, data_bytes: await dataBytes(host, pathOfPart(path, part), format) }
}
