import { randomUUID } from 'node:crypto'
import { dirname, join } from 'node:path'
import { errnoIn, fileError } from './errors.ts'
import type { FileKind, Host, HostFiles, RunOptions, RunResult } from './host.ts'
import { byName, kindOf } from './local/files.ts'

/** Types of `find -printf %y`. */
const kinds: Record<string, FileKind> = {
  f: 'file',
  d: 'directory',
  l: 'link',
  b: 'block-device',
  c: 'character-device',
  s: 'socket',
  p: 'fifo',
}

/** S_IFMT and its values (inode(7)). */
const formatMask = 0o170000
const kindOfMode = (mode: number): FileKind => {
  const is = (format: number) => () => (mode & formatMask) === format
  return kindOf({
    isFile: is(0o100000),
    isDirectory: is(0o040000),
    isSymbolicLink: is(0o120000),
    isBlockDevice: is(0o060000),
    isCharacterDevice: is(0o020000),
    isSocket: is(0o140000),
    isFIFO: is(0o010000),
  })
}

const umaskOf = (mode: number) => (0o777 & ~mode).toString(8)

/** The file methods of a host, each by a program of GNU coreutils or findutils. */
function filesByPrograms(host: Host): HostFiles {
  async function run(doing: string, path: string, args: [string, ...string[]], options: RunOptions = {}) {
    const [program, ...words] = args
    const result = await host.run(program, words, options)
    if (result.code !== 0) throw failed(doing, path, result)
    return result
  }
  const failed = (doing: string, path: string, { stderr }: RunResult) =>
    fileError(errnoIn(stderr), doing, path, host.describe(), new Error(stderr.trim()))

  const sh = (script: string, ...words: string[]): [string, ...string[]] => ['sh', '-c', script, 'sh', ...words]

  return {
    readFile: async (path) => (await run('read', path, ['cat', '--', path], { maxOutputBytes: Infinity })).bytes,
    async writeFile(path, data, { mode = 0o644 } = {}) {
      const aside = join(dirname(path), `.horcrux-${randomUUID()}`)
      const script =
        'umask "$1" && dd of="$2" conv=excl,fsync status=none && mv -fT -- "$2" "$3" && sync -- "$4" || { code=$?; rm -f -- "$2"; exit $code; }'
      await run('write', path, sh(script, umaskOf(mode), aside, path, dirname(path)), { input: data })
    },
    async createExclusive(path, data, { mode = 0o644 } = {}) {
      const script = 'umask "$1" && exec dd of="$2" conv=excl,fsync status=none'
      await run('create', path, sh(script, umaskOf(mode), path), { input: data })
    },
    async stat(path) {
      const result = await host.run('stat', ['-L', '--printf=%f %s %u %g %Y', '--', path])
      if (['ENOENT', 'ENOTDIR'].includes(result.code === 0 ? '' : errnoIn(result.stderr))) return null
      if (result.code !== 0) throw failed('read', path, result)
      const [mode = '0', size, uid, gid, seconds] = result.stdout.split(' ')
      const bits = Number.parseInt(mode, 16)
      return {
        kind: kindOfMode(bits),
        sizeBytes: Number(size),
        mode: bits & 0o7777,
        uid: Number(uid),
        gid: Number(gid),
        modifiedAt: new Date(Number(seconds) * 1000),
      }
    },
    async list(path) {
      // The slash makes a link to a folder the folder, and anything else an error.
      const args = [`${path}/`, '-mindepth', '1', '-maxdepth', '1', '-printf', String.raw`%y%f\0`]
      const { stdout } = await run('list', path, ['find', ...args], { maxOutputBytes: 64 * 2 ** 20 })
      const entries = stdout.split('\0').filter((entry) => entry !== '')
      return entries.map((entry) => ({ name: entry.slice(1), kind: kinds[entry[0]!] ?? 'other' })).sort(byName)
    },
    async mkdir(path, { mode = 0o755 } = {}) {
      await run('create', path, sh('umask "$1" && exec mkdir -p -- "$2"', umaskOf(mode), path))
    },
    async remove(path, { recursive = false } = {}) {
      await run('remove', path, ['rm', recursive ? '-rf' : '-f', '--', path])
    },
    async rename(from, to) {
      await run('rename', from, ['mv', '-fT', '--', from, to])
    },
    async space(path) {
      const { stdout } = await run('read', path, ['stat', '-f', '--printf=%b %a %S', '--', path])
      const [blocks, available, size] = stdout.split(' ').map(Number)
      return { totalBytes: blocks! * size!, freeBytes: available! * size! }
    },
    async realpath(path) {
      return (await run('read', path, ['realpath', '-ez', '--', path])).stdout.replace(/\0$/, '')
    },
  }
}

/** A host whose file methods are programs. A file system that does not answer stops only such a process. */
export const withFilesByPrograms = (host: Host): Host => ({ ...host, ...filesByPrograms(host) })

const timeoutMs = 60_000

/**
 * A host whose file methods may be used on storage that hangs. The methods of the plain host would stop a thread of this
 * process, of which there are four, or the one SFTP session of a node.
 * @param lane key of the storage
 */
export const withSafeFiles = (host: Host, lane: string): Host =>
  host.filesOfLane ? { ...host, ...host.filesOfLane({ lane, timeoutMs }) } : withFilesByPrograms(host)

/** As {@link withSafeFiles}, and nothing is killed for lack of time: a call that is stuck counts until it ends. */
export function withoutTimeLimits(plain: Host, lane: string): Host {
  const host: Host = {
    ...plain,
    run: (program, args, options) => plain.run(program, args, { ...options, timeoutMs: Infinity }),
    runChecked: (program, args, options) => plain.runChecked(program, args, { ...options, timeoutMs: Infinity }),
  }
  return host.filesOfLane ? { ...host, ...host.filesOfLane({ lane, timeoutMs: Infinity }) } : withFilesByPrograms(host)
}
