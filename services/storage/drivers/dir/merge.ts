import type { Host } from '#shared/nodes/host/host.ts'
import { longQemuImg, percentIn, qemuImg } from '../../images/qemu-img.ts'
import { readLayer } from '../../images/layer.ts'
import type { Deleting } from '../driver.ts'

type Image = { path: string; format: string }
type How = Pick<Deleting, 'signal' | 'onProgress'>

/** Reports percentages of qemu-img as bytes. */
const reporting =
  (totalBytes: number, onProgress: How['onProgress']) =>
  (chunk: Buffer): void => {
    const percent = percentIn(chunk.toString('latin1'))
    if (percent !== undefined) onProgress(Math.round((totalBytes * percent) / 100))
  }

/**
 * Writes the content of an image into the one below, which nobody else reads. The image stays and reads the same at every
 * moment, so that this can be cut off and repeated. `-d`: the image is not emptied.
 */
export async function mergeInto(host: Host, top: Image, base: Image, { signal, onProgress }: How): Promise<void> {
  const layer = await readLayer(host, top.path, top.format)
  if (!layer) return
  const onStdout = reporting(layer.allocatedBytes, onProgress)
  const words = ['commit', '-p', '-d', '-t', 'writeback', '-f', top.format, '-b', base.path, top.path]
  await longQemuImg(host, words, { signal, onStdout })
}

/** Has an image read from another one that has the same content as the one before; only its header is changed. */
export async function rebaseOnto(host: Host, image: Image, base: Image): Promise<void> {
  const layer = await readLayer(host, image.path, image.format)
  if (layer?.backing === base.path) return
  await qemuImg(host, ['rebase', '-u', '-f', image.format, '-b', base.path, '-F', base.format, image.path])
}

/** Copies into an image all that it reads from the one below it and not from the one below that; then it reads from that. */
export async function copyInto(
  host: Host,
  image: Image,
  below: Image | null,
  { signal, onProgress }: How,
): Promise<void> {
  const layer = await readLayer(host, image.path, image.format)
  if (!layer || layer.backing === (below?.path ?? null)) return
  const onto = below === null ? ['-b', ''] : ['-b', below.path, '-F', below.format]
  const onStdout = reporting(layer.allocatedBytes, onProgress)
  await longQemuImg(host, ['rebase', '-p', '-t', 'writeback', '-f', image.format, ...onto, image.path], {
    signal,
    onStdout,
  })
}
