import { type DiskSource, nameOfSource, pathOfSource } from '#shared/contracts/storage/disk-source.ts'
import { ConflictError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { readImage } from './complete-image.ts'
import { dataBytes, imageInfo } from './qemu-img.ts'

/** The path at which tools read an image. @throws ConflictError for a network image */
export function pathOfOriginal({ source }: { source: DiskSource }): string {
  const path = pathOfSource(source)
  if (path === null) throw new ConflictError(`${nameOfSource(source)} is a network image, which cannot be read here`)
  return path
}

/** Size of the disk in an image that is in no storage pool. */
export const sizeOfImage = async (host: Host, path: string, format: string): Promise<number> =>
  (await imageInfo(host, path, format)).virtualSize

export type Image = { format: string; size_bytes: number; data_bytes: number }

/** Reads a file that is not ours as an image. @throws ConflictError for one that is incomplete or cannot be copied */
export async function inspectImage(host: Host, path: string): Promise<Image> {
  const { format, virtualSize } = await readImage(host, path)
  return { format, size_bytes: virtualSize, data_bytes: await dataBytes(host, path, format) }
}
