import { ConflictError, UnavailableError } from '#shared/errors.ts'
import { CommandError } from '#shared/nodes/host/errors.ts'
import type { Host, RunOptions, RunResult } from '#shared/nodes/host/host.ts'

/** Runs qemu-img. @throws ConflictError with its words when it refuses */
const qemuImg = (host: Host, args: string[], options: RunOptions = {}): Promise<string> =>
  translating(host, () => host.runChecked('qemu-img', args, options))

/** As {@link qemuImg}, for long work: it is killed with the process that started it, here or behind SSH. */
async function longQemuImg(host: Host, args: string[], options: RunOptions): Promise<void> {
  const setpriv = await host.which('setpriv')
  const [program, words] = setpriv ? [setpriv, ['--pdeathsig', 'KILL', 'qemu-img', ...args]] : ['qemu-img', args]
  await translating(host, () => host.runChecked(program, words, { ...options, timeoutMs: Infinity }))
}

async function translating(host: Host, run: () => Promise<RunResult>): Promise<string> {
  try {
    return (await run()).stdout
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    if (/No space left/i.test(error.stderr))
      throw new UnavailableError(`${host.describe()}: no space left on the device`, { cause: error })
    throw new ConflictError(`qemu-img on ${host.describe()}: ${error.stderr}`, { cause: error })
  }
}

type Info = { virtualSize: number; backingFile: string | null; hasSnapshots: boolean }

/** Reads the header of an image, also while a guest has it open. */
export async function imageInfo(host: Host, path: string, format: string): Promise<Info> {
  const said = JSON.parse(await qemuImg(host, ['info', '-U', '--output=json', '-f', format, path])) as {
    'virtual-size': number
    'backing-filename'?: string
    snapshots?: unknown[]
  }
  return {
    virtualSize: said['virtual-size'],
    backingFile: said['backing-filename'] ?? null,
    hasSnapshots: (said.snapshots?.length ?? 0) > 0,
  }
}

/** Formats that keep a disk in one file. A vmdk may name other files, anywhere on its host. */
const inOneFile = ['raw', 'qcow2', 'vdi', 'vhdx']

/**
 * Tells format and size of a file that is not ours. It is not trusted: no other file may be read for it.
 * @throws ConflictError for an image that names other files, and one that cannot be read
 */
export async function probe(host: Host, path: string): Promise<{ format: string; virtualSize: number }> {
  const said = JSON.parse(await qemuImg(host, ['info', '-U', '--output=json', path])) as {
    format: string
    'virtual-size': number
    'backing-filename'?: string
    encrypted?: boolean
    'format-specific'?: { data?: { 'data-file'?: string } }
  }
  const refuse = (why: string) => new ConflictError(`${path} ${why}`)
  const { format, 'virtual-size': virtualSize } = said
  if (!inOneFile.includes(format)) throw refuse(`is a ${format} image; what can be copied is ${inOneFile.join(', ')}`)
  if (said['backing-filename'] !== undefined) throw refuse('has a backing file, which is not read: flatten it first')
  if (said['format-specific']?.data?.['data-file'] !== undefined)
    throw refuse('has its data in another file, which is not read')
  if (said.encrypted) throw refuse('is encrypted')
  if (virtualSize === 0) throw refuse('is empty')
  return { format, virtualSize }
}

/**
 * Bytes of data in an image and its backing files. `measure` tells the size of a qcow2 image with this data; the tables
 * are subtracted: they are the difference between a fully allocated image and the virtual size.
 */
export async function dataBytes(host: Host, path: string, format: string): Promise<number> {
  const { virtualSize } = await imageInfo(host, path, format)
  const args = ['measure', '-U', '--output=json', '-f', format, '-O', 'qcow2', path]
  const said = JSON.parse(await qemuImg(host, args, { timeoutMs: 600_000 })) as {
    required: number
    'fully-allocated': number
  }
  return said.required - (said['fully-allocated'] - virtualSize)
}

/** Largest range of one discard. */
const largestHole = 2 ** 30

/**
 * True when a hypervisor that copies a disk into an image of this format leaves zeros out. QEMU writes them into a raw
 * image, and takes the space for them.
 */
export const isSparseInCopies = (format: string): boolean => format !== 'raw'

/** Frees the space of all ranges that read as zeros, in an image that nobody has open. */
export async function punchHoles(host: Host, path: string, format: string): Promise<void> {
  const map = JSON.parse(await qemuImg(host, ['map', '--output=json', '-f', format, path], { timeoutMs: 600_000 })) as {
    start: number
    length: number
    zero: boolean
  }[]
  const holes = map
    .filter(({ zero }) => zero)
    .flatMap(({ start, length }) =>
      Array.from({ length: Math.ceil(length / largestHole) }, (_, index) => {
        const from = start + index * largestHole
        return `discard ${from} ${Math.min(largestHole, start + length - from)}\n`
      }),
    )
  if (holes.length === 0) return
  const input = holes.join('')
  // It reports each range; nobody reads that.
  const options = { input, timeoutMs: 600_000, onStdout: () => undefined }
  await translating(host, () => host.runChecked('qemu-io', ['-f', format, '-d', 'unmap', path], options))
}

/** Options of the qcow2 images that we make: `-o`, or nothing for other formats. */
const optionsOf = (format: string): string[] =>
  format === 'qcow2' ? ['-o', 'lazy_refcounts=on,cluster_size=65536'] : []

type Image = { path: string; format: string }
type Size = { format: string; size_bytes: number }

export const createImage = (host: Host, path: string, { format, size_bytes }: Size): Promise<unknown> =>
  qemuImg(host, ['create', '-q', '-f', format, ...optionsOf(format), path, String(size_bytes)])

/** Makes a copy-on-write image of another. */
export const linkImage = (host: Host, backing: Image, { path, format }: Image): Promise<unknown> =>
  qemuImg(host, ['create', '-q', '-f', format, ...optionsOf(format), '-b', backing.path, '-F', backing.format, path])

export const resizeImage = (host: Host, path: string, { format, size_bytes }: Size): Promise<unknown> =>
  qemuImg(host, ['resize', '-q', '-f', format, path, String(size_bytes)])

type Converting = { signal: AbortSignal; onProgress: (doneBytes: number) => void }

/** Copies an image, flat, into another format or file. */
export async function convertImage(
  host: Host,
  from: Image,
  to: Image,
  { signal, onProgress }: Converting,
): Promise<void> {
  const total = await dataBytes(host, from.path, from.format)
  const onStdout = (chunk: Buffer) => {
    const percent = percentIn(chunk.toString('latin1'))
    if (percent !== undefined) onProgress(Math.round((total * percent) / 100))
  }
  // With writeback the copy is on the disk when qemu-img ends; its default leaves it to the page cache.
  const args = ['convert', '-p', '-t', 'writeback', '-f', from.format, '-O', to.format, ...optionsOf(to.format)]
  await longQemuImg(host, [...args, from.path, to.path], { signal, onStdout })
}

/** The last percentage in output of `qemu-img -p`: `    (12.34/100%)`. */
export function percentIn(text: string): number | undefined {
  const last = [...text.matchAll(/\((\d+(?:\.\d+)?)\/100%\)/g)].at(-1)
  return last && Number(last[1])
}
