import { ConflictError, UnavailableError } from '#shared/errors.ts'
import { CommandError } from '#shared/nodes/host/errors.ts'
import type { Host, RunOptions, RunResult } from '#shared/nodes/host/host.ts'
import { secretObjects, withSecretFiles } from '#shared/nodes/host/secret-files.ts'

/** Runs qemu-img. @throws ConflictError with its words when it refuses */
export const qemuImg = (host: Host, args: string[], options: Options = {}): Promise<string> =>
  translating(host, () => checked(host, 'qemu-img', args, options))

type Options = RunOptions & { secrets?: string[] }

/** Adds the secret files as objects after the command of qemu-img, which may stand behind another program. */
function withObjects(args: readonly string[], count: number): string[] {
  const command = args.indexOf('qemu-img') + 1
  return [...args.slice(0, command + 1), ...secretObjects(count), ...args.slice(command + 1)]
}

/** @throws CommandError for a non-zero exit code */
async function checked(host: Host, program: string, args: string[], { secrets = [], ...options }: Options) {
  const result = await withSecretFiles(host, program, withObjects(args, secrets.length), secrets, options)
  if (result.code !== 0) throw new CommandError(program, result.code, result.stderr, host.describe())
  return result
}

/** As {@link qemuImg}, for long work: it is killed with the process that started it, here or behind SSH. */
export async function longQemuImg(host: Host, args: string[], options: Options): Promise<void> {
  const setpriv = await host.which('setpriv')
  const [program, words] = setpriv ? [setpriv, ['--pdeathsig', 'KILL', 'qemu-img', ...args]] : ['qemu-img', args]
  await translating(host, () => checked(host, program, words, { ...options, timeoutMs: Infinity }))
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
export async function imageInfo(host: Host, path: string, format: string, secrets: string[] = []): Promise<Info> {
  const said = JSON.parse(await qemuImg(host, ['info', '-U', '--output=json', '-f', format, path], { secrets })) as {
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

/** Bytes of an image file. Its blocks may be shared with reflinks, which no tool tells: the exclusive ones are unknown. */
export async function imageUsage(host: Host, path: string, format: string) {
  const said = JSON.parse(await qemuImg(host, ['info', '-U', '--output=json', '-f', format, path])) as {
    'virtual-size': number
    'actual-size': number
  }
  return {
    logical_bytes: said['virtual-size'],
    referenced_bytes: said['actual-size'],
    exclusive_bytes: null,
    freed_if_deleted_bytes: null,
    reserved_bytes: null,
    source: 'qemu-img info',
  }
}

/** Runs `qemu-img check` on a file that is not ours. @returns its errors, and the number of compressed clusters */
export async function checkImage(
  host: Host,
  path: string,
  format: string,
): Promise<{ errors: string[]; compressed: number }> {
  const args = ['check', '-U', '--output=json', '-f', format, path]
  const { code, stdout, stderr } = await host.run('qemu-img', args, { timeoutMs: 600_000 })
  const said = readCheck(stdout)
  const { corruptions = 0, 'check-errors': checkErrors = 0, 'compressed-clusters': compressed = 0 } = said ?? {}
  // 3: only leaked clusters, which belong to no disk.
  if (said && (code === 0 || code === 3) && corruptions + checkErrors === 0) return { errors: [], compressed }
  const lines = stderr.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('Leaked'))
  return { errors: lines.length > 0 ? lines : [`it ends with code ${code}`], compressed }
}

type Check = { corruptions?: number; 'check-errors'?: number; 'compressed-clusters'?: number }

function readCheck(stdout: string): Check | undefined {
  try {
    return JSON.parse(stdout) as Check
  } catch {
    return undefined
  }
}

/** Places in the file of all ranges that `qemu-img map` locates there; compressed ones are not among them. */
export async function imageMap(
  host: Host,
  path: string,
  format: string,
): Promise<{ offset: number; length: number }[]> {
  const args = ['map', '-U', '--output=json', '-f', format, path]
  const map = JSON.parse(await qemuImg(host, args, { timeoutMs: 600_000, maxOutputBytes: 256 * 2 ** 20 })) as {
    length: number
    offset?: number
  }[]
  return map.flatMap(({ offset, length }) => (offset === undefined ? [] : [{ offset, length }]))
}

/**
 * Bytes of data in an image and its backing files. `measure` tells the size of a qcow2 image with this data; the tables
 * are subtracted: they are the difference between a fully allocated image and the virtual size.
 */
export async function dataBytes(host: Host, path: string, format: string, secrets: string[] = []): Promise<number> {
  const { virtualSize } = await imageInfo(host, path, format, secrets)
  const args = ['measure', '-U', '--output=json', '-f', format, '-O', 'qcow2', path]
  const said = JSON.parse(await qemuImg(host, args, { timeoutMs: 600_000, secrets })) as {
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

/** Makes an empty copy-on-write image of another, also while a guest has that one open: nothing is read from it. */
export const overlayImage = (host: Host, backing: Image, path: string, sizeBytes: number): Promise<unknown> => {
  const from = ['-u', '-b', backing.path, '-F', backing.format]
  return qemuImg(host, ['create', '-q', '-f', 'qcow2', ...optionsOf('qcow2'), ...from, path, String(sizeBytes)])
}

export const resizeImage = (host: Host, path: string, { format, size_bytes }: Size): Promise<unknown> =>
  qemuImg(host, ['resize', '-q', '-f', format, path, String(size_bytes)])

type Converting = {
  signal: AbortSignal
  onProgress: (doneBytes: number) => void
  bytesPerSecond?: number | undefined
}

/** An image that may need a secret to be opened: the content of a secret file. */
export type ImageFile = Image & { secret?: string | undefined }

/**
 * Copies an image, flat, into another format or file. The secret of `from` is the first secret file, that of `to` the
 * second.
 * @param isThere the target is there, and empty
 */
export async function convertImage(
  host: Host,
  from: ImageFile,
  to: ImageFile & { isThere?: boolean },
  { signal, onProgress, bytesPerSecond }: Converting,
): Promise<void> {
  const secrets = from.secret === undefined && to.secret === undefined ? [] : [from.secret ?? '', to.secret ?? '']
  const total = await dataBytes(host, from.path, from.format, secrets.slice(0, 1))
  const onStdout = (chunk: Buffer) => {
    const percent = percentIn(chunk.toString('latin1'))
    if (percent !== undefined) onProgress(Math.round((total * percent) / 100))
  }
  // With writeback the copy is on the disk when qemu-img ends; its default leaves it to the page cache.
  const args = ['convert', '-p', '-t', 'writeback', '-f', from.format, '-O', to.format]
  const target = to.isThere ? ['-n', '--target-is-zero', '-W'] : optionsOf(to.format)
  const limit = bytesPerSecond === undefined ? [] : ['-r', String(bytesPerSecond)]
  await longQemuImg(host, [...args, ...limit, ...target, from.path, to.path], { signal, onStdout, secrets })
}

/** The last percentage in output of `qemu-img -p`: `    (12.34/100%)`. */
export function percentIn(text: string): number | undefined {
  const last = [...text.matchAll(/\((\d+(?:\.\d+)?)\/100%\)/g)].at(-1)
  return last && Number(last[1])
}
