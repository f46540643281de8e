import { ConflictError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { qemuImg } from './qemu-img.ts'

/** An image that reads what it lacks from the one below. */
export type Layer = {
  sizeBytes: number
  /** Bytes that its own file takes. */
  allocatedBytes: number
  /** Path of the image below; null for none. */
  backing: string | null
}

/** Reads the header of an image, also while a guest has it open; null when it is gone. */
export async function readLayer(host: Host, path: string, format: string): Promise<Layer | null> {
  if (!(await host.stat(path))) return null
  const said = JSON.parse(await qemuImg(host, ['info', '-U', '--output=json', '-f', format, path])) as {
    'virtual-size': number
    'actual-size': number
    'full-backing-filename'?: string
  }
  const backing = said['full-backing-filename'] ?? null
  if (backing !== null && !backing.startsWith('/')) throw new ConflictError(`${path} reads from ${backing}`)
  return { sizeBytes: said['virtual-size'], allocatedBytes: said['actual-size'], backing }
}
