import type { VolumeFormat } from '#shared/contracts/storage/pools.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { formatOf, headBytes, tailBytes } from './image-format.ts'
import { imageInfo } from './qemu-img.ts'

/**
 * The disk image that a file is by its name, `*.qcow2` or `*.raw`, and by its content; null when either says otherwise. Files
 * that the image names are not read.
 */
export async function imageAt(host: Host, path: string): Promise<{ format: VolumeFormat; size_bytes: number } | null> {
  const format = (['qcow2', 'raw'] as const).find((each) => path.endsWith(`.${each}`))
  const there = await host.stat(path)
  if (!format || there?.kind !== 'file') return null
  const part = async (program: string, bytes: number) =>
    (await host.runChecked(program, ['-c', String(bytes), '--', path])).bytes
  const found = formatOf(await part('head', headBytes), await part('tail', tailBytes))
  if (!('format' in found) || found.format !== format) return null
  if (format === 'raw') return { format, size_bytes: there.sizeBytes }
  return { format, size_bytes: (await imageInfo(host, path, format)).virtualSize }
}
