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

type Image = { path: string; format: string }

/** Bytes of each file that are read: the header of a qcow2 image, its extensions and the name of its backing file. */
const headBytes = 4096

/** Prints size, blocks and bytes of a block for each file that is there, then the beginning of each. */
const script = `stat -L --printf='%n\\0%s\\0%b\\0%B\\0' -- "$@"; printf '\\0'; exec head -q -c ${headBytes} -- "$@"`

/**
 * Reads the headers of images, also while guests have them open, with one process for all of them.
 * @returns those that are there, by path
 */
export async function readLayers(host: Host, images: readonly Image[]): Promise<Map<string, Layer>> {
  if (images.length === 0) return new Map()
  const paths = images.map(({ path }) => path)
  const { bytes } = await host.run('sh', ['-c', script, 'sh', ...paths])
  const found = splitAnswer(bytes)
  const layers = images.map(async (image) => {
    const known = found?.get(image.path)
    // A process that is killed, or a file that goes meanwhile, leaves the two parts of different files.
    if (found && !known) return null
    return (known && layerIn(image.format, known)) ?? readByTool(host, image)
  })
  const read = await Promise.all(layers)
  return new Map(read.flatMap((layer, index) => (layer ? [[paths[index]!, layer]] : [])))
}

/** As {@link readLayers}, for one image; null when it is gone. */
export const readLayer = async (host: Host, path: string, format: string): Promise<Layer | null> =>
  (await readLayers(host, [{ path, format }])).get(path) ?? null

type Told = { fileBytes: number; allocatedBytes: number; head: Buffer }

/** Takes the output of the script apart, by path; null when the two parts do not fit together. */
function splitAnswer(bytes: Buffer): Map<string, Told> | null {
  const files: (Omit<Told, 'head'> & { path: string })[] = []
  let at = 0
  const field = () => {
    const end = bytes.indexOf(0, at)
    if (end < 0) return null
    const text = bytes.toString('utf8', at, end)
    at = end + 1
    return text
  }
  for (let path = field(); path !== ''; path = field()) {
    const [size, blocks, blockBytes] = [field(), field(), field()]
    if (path === null || blockBytes === null) return null
    files.push({ path, fileBytes: Number(size), allocatedBytes: Number(blocks) * Number(blockBytes) })
  }
  if (bytes.length - at !== files.length * headBytes) return null
  return new Map(
    files.map(({ path, ...file }, index) => {
      const from = at + index * headBytes
      return [path, { ...file, head: bytes.subarray(from, from + headBytes) }]
    }),
  )
}

const qcow2Magic = 0x514649fb

/**
 * The layer that a header describes (docs/interop/qcow2.rst of QEMU); null for one that only QEMU understands, such as
 * with a backing file that is no absolute path.
 */
export function layerIn(format: string, { fileBytes, allocatedBytes, head }: Told): Layer | null {
  if (format === 'raw') return { sizeBytes: fileBytes, allocatedBytes, backing: null }
  if (format !== 'qcow2' || head.readUInt32BE(0) !== qcow2Magic || head.readUInt32BE(4) > 3) return null
  const [offset, length] = [Number(head.readBigUInt64BE(8)), head.readUInt32BE(16)]
  const sizeBytes = Number(head.readBigUInt64BE(24))
  if (offset === 0) return { sizeBytes, allocatedBytes, backing: null }
  if (offset + length > head.length) return null
  const backing = head.toString('utf8', offset, offset + length)
  return backing.startsWith('/') ? { sizeBytes, allocatedBytes, backing } : null
}

/** @throws ConflictError for an image that reads from something that is no file; null when it is gone */
async function readByTool(host: Host, { path, format }: Image): Promise<Layer | null> {
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
