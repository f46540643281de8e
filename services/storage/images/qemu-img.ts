import { ConflictError, UnavailableError } from '#shared/errors.ts'
import { CommandError } from '#shared/nodes/host/errors.ts'
import type { Host, RunOptions, RunResult } from '#shared/nodes/host/host.ts'

/** Runs qemu-img; what it refuses is a conflict, in its own words. */
export const qemuImg = (host: Host, args: string[], options: RunOptions = {}): Promise<string> =>
  inItsWords(host, () => host.runChecked('qemu-img', args, options))

/** As {@link qemuImg}, for work that takes long: it ends with whoever began it, here or behind SSH. */
export async function longQemuImg(host: Host, args: string[], options: RunOptions): Promise<void> {
  const setpriv = await host.which('setpriv')
  const [program, words] = setpriv ? [setpriv, ['--pdeathsig', 'KILL', 'qemu-img', ...args]] : ['qemu-img', args]
  await inItsWords(host, () => host.runChecked(program, words, { ...options, timeoutMs: Infinity }))
}

async function inItsWords(host: Host, run: () => Promise<RunResult>): Promise<string> {
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

/** What the header of an image says, also while a guest has it open. */
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

/** Formats that have all of a disk in one file; a vmdk may name others, anywhere on its host. */
const inOneFile = ['raw', 'qcow2', 'vdi', 'vhdx']

/**
 * What somebody else's file is as an image. It is not trusted: nothing but the file itself may be read for it.
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
 * Bytes of data in an image and those it is based on. `measure` tells the size of a qcow2 image with this data: what
 * is in it of its own tables is what is in a full one beside the virtual size.
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

/** The most that is given back at once. */
const largestHole = 2 ** 30

/** Gives back the space of all that reads as zeros in a raw image which nobody has open. */
export async function punchHoles(host: Host, path: string): Promise<void> {
  const map = JSON.parse(await qemuImg(host, ['map', '--output=json', '-f', 'raw', path], { timeoutMs: 600_000 })) as {
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
  // It tells of each, which nobody reads.
  const options = { input, timeoutMs: 600_000, onStdout: () => undefined }
  await inItsWords(host, () => host.runChecked('qemu-io', ['-f', 'raw', '-d', 'unmap', path], options))
}

/** Options of the qcow2 images that we make: `-o`, or nothing for other formats. */
export const optionsOf = (format: string): string[] =>
  format === 'qcow2' ? ['-o', 'lazy_refcounts=on,cluster_size=65536'] : []

/** The last percentage in a piece of what `qemu-img -p` says: `    (12.34/100%)`. */
export function percentIn(text: string): number | undefined {
  const last = [...text.matchAll(/\((\d+(?:\.\d+)?)\/100%\)/g)].at(-1)
  return last && Number(last[1])
}
