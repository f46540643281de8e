import { createHash } from 'node:crypto'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { PoolConfig, PoolType } from '#shared/contracts/storage/pool-kinds.ts'
import { ConflictError, NotFoundError, UnavailableError } from '#shared/errors.ts'
import { CommandError, errnoIn, fileError } from '#shared/nodes/host/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { asideOf, beginAside, removeOlder } from '#shared/nodes/host/made-files.ts'
import { requireCurrent } from '#shared/runtime/request-context.ts'
import { isKey, largestPage, type ObjectDriver, type Putting, requireKey, type StoredObject } from '../objects.ts'

/** The folder of objects in the folder of a storage pool. */
export const objectFolder = 'objects'

/** A folder that another call has just removed, because it was empty, is made again. */
const folderTries = 5
/** Names of content that is being written: `<key>.<mark of the try>.new`. */
const asideForm = String.raw`.*\.[0-9a-f-]{36}\.[0-9]+\.[0-9a-f-]{36}\.[0-9]+\.new`

/** Length and digest of content that passes. */
function measuring(content: AsyncIterable<Uint8Array>) {
  const hash = createHash('sha256')
  let size_bytes = 0
  async function* passing() {
    for await (const piece of content) {
      hash.update(piece)
      size_bytes += piece.length
      yield piece
    }
  }
  return { passing: passing(), told: () => ({ size_bytes, sha256: hash.digest('hex') }) }
}

/** Writes content to a file that is there, and to the disk. */
async function write(host: Host, path: string, content: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
  const words = ['bs=1M', 'iflag=fullblock', `of=${path}`, 'conv=notrunc,nocreat,fsync', 'status=none']
  const process = await host.spawn('dd', words, { signal })
  process.stdout.resume()
  try {
    // A program that fails closes its input: its own words say why.
    const broken = await pipeline(content, process.stdin, { signal }).then(
      () => null,
      (error: unknown) => error,
    )
    signal.throwIfAborted()
    if (broken !== null && !isClosedPipe(broken)) throw broken
    const { code, stderr } = await process.exit
    if (code !== 0) throw fileError(errnoIn(stderr), 'write', path, host.describe(), new Error(stderr.trim()))
    if (broken !== null) throw broken
  } finally {
    await process.kill()
  }
}

const isClosedPipe = (error: unknown) =>
  error instanceof Error &&
  ['EPIPE', 'ERR_STREAM_PREMATURE_CLOSE', 'ECONNRESET', 'ERR_STREAM_DESTROYED'].includes(
    (error as NodeJS.ErrnoException).code ?? '',
  )

const otherFile = 113
/** Puts the file with this device and inode in its place, and makes the change of the folder durable. `$4`: the command. */
const placeScript = [
  `[ "$(stat --printf=%d:%i -- "$1")" = "$2" ] || exit ${otherFile}`,
  'if [ "$4" = replace ]; then mv -fT -- "$1" "$3"; else ln -T -- "$1" "$3" && rm -f -- "$1"; fi || exit',
  'sync -- "${3%/*}"',
].join('\n')

/** @returns false, with nothing changed there, when something is in its place that is not to be replaced */
async function place(host: Host, aside: string, id: string, path: string, ifExists: Putting['ifExists']) {
  const { code, stderr } = await host.run('sh', ['-c', placeScript, 'sh', aside, id, path, ifExists])
  if (code === 0) return true
  if (code !== otherFile && /File exists/.test(stderr)) return false
  if (code === otherFile) throw new ConflictError(`${aside} on ${host.describe()} is not the file that was written`)
  throw new CommandError('sh', code, stderr, host.describe())
}

/** Begins a file beside its place, in a folder that is made for it. @returns its path, and its device and inode */
async function begin(host: Host, path: string): Promise<{ aside: string; id: string }> {
  const aside = asideOf(path)
  for (let tried = 1; ; tried++) {
    await host.mkdir(dirname(path), { mode: 0o700 })
    await removeOlder(host, path, aside)
    try {
      return { aside, id: await beginAside(host, aside) }
    } catch (error) {
      if (!(error instanceof NotFoundError) || tried === folderTries) throw error
    }
  }
}

/** Reads a part of a file. @throws UnavailableError in the stream when it breaks off */
async function readPart(host: Host, path: string, offset: number, length: number, signal: AbortSignal) {
  const words = [`if=${path}`, 'bs=1M', 'iflag=skip_bytes,count_bytes', `skip=${offset}`, `count=${length}`]
  const process = await host.spawn('dd', [...words, 'status=none'], { signal })
  async function* bytes() {
    let left = length
    try {
      // The streams of a process give buffers.
      for await (const piece of process.stdout as AsyncIterable<Buffer>) {
        left -= piece.length
        yield piece
      }
      signal.throwIfAborted()
      const { code, stderr } = await process.exit
      if (code !== 0) throw fileError(errnoIn(stderr), 'read', path, host.describe(), new Error(stderr.trim()))
      if (left !== 0) throw new UnavailableError(`${path} on ${host.describe()} ended ${left} bytes too early`)
    } finally {
      await process.kill()
    }
  }
  return Readable.from(bytes(), { objectMode: false })
}

/** Lists the files below a folder by find(1). @throws UnavailableError */
async function found(host: Host, folder: string, words: string[]): Promise<string[]> {
  const { code, stdout, stderr } = await host.run('find', [folder, '-type', 'f', ...words], {
    maxOutputBytes: Infinity,
  })
  // Folders and files may go while they are listed.
  const problems = stderr.split('\n').filter((line) => line !== '' && !line.includes('No such file'))
  if (code !== 0 && problems.length > 0)
    throw fileError(errnoIn(problems[0]!), 'list', folder, host.describe(), new Error(problems[0]))
  return stdout.split('\0').filter(Boolean)
}

/** True when a storage pool in a folder has no objects, and none is being written. */
export const isWithoutObjects = async (host: Host, folder: string): Promise<boolean> =>
  (await found(host, join(folder, objectFolder), ['-printf', '%P\\0'])).length === 0

/**
 * Objects that are files in a folder, at their keys.
 * @param folderOf the folder of the storage pool on a host
 */
export function fileObjects<K extends PoolType>(folderOf: (config: PoolConfig<K>) => string): ObjectDriver<K> {
  const rootOf = (config: PoolConfig<K>) => join(folderOf(config), objectFolder)
  const fileOf = (config: PoolConfig<K>, key: string) => join(rootOf(config), requireKey(key))

  async function stat(host: Host, config: PoolConfig<K>, key: string): Promise<StoredObject | null> {
    const there = await host.stat(fileOf(config, key))
    if (there?.kind !== 'file') return null
    return { key, size_bytes: there.sizeBytes, modified_at: there.modifiedAt.toISOString() }
  }

  return {
    stat,

    async put(host, config, key, content, { ifExists, size_bytes, signal }) {
      const path = fileOf(config, key)
      const { passing, told } = measuring(content)
      const { aside, id } = await begin(host, path)
      try {
        await write(host, aside, passing, signal)
        const put = told()
        if (size_bytes !== undefined && put.size_bytes !== size_bytes)
          throw new ConflictError(`Object '${key}' has ${put.size_bytes} bytes instead of ${size_bytes}`)
        await requireCurrent()
        return { is_made: await place(host, aside, id, path, ifExists), ...put }
      } finally {
        await host.remove(aside)
      }
    },

    async get(host, config, key, { offset = 0, length = Infinity, signal }) {
      const there = await stat(host, config, key)
      if (!there) throw new NotFoundError(`Object '${key}' not found on ${host.describe()}`)
      const rest = Math.max(0, Math.min(length, there.size_bytes - offset))
      return rest === 0 ? Readable.from([]) : readPart(host, fileOf(config, key), offset, rest, signal)
    },

    async list(host, config, prefix, { after = '', limit = largestPage } = {}) {
      const lines = await found(host, rootOf(config), ['-printf', '%P\\t%s\\t%T@\\0'])
      const objects = lines
        .map((line): StoredObject => {
          const [key = '', size, seconds] = line.split('\t')
          return { key, size_bytes: Number(size), modified_at: new Date(Number(seconds) * 1000).toISOString() }
        })
        .filter(({ key }) => isKey(key) && key.startsWith(prefix) && key > after && !isAside(key))
        .toSorted((a, b) => (a.key < b.key ? -1 : 1))
      const page = objects.slice(0, limit)
      return { objects: page, next: objects.length > limit ? page.at(-1)!.key : null }
    },

    async remove(host, config, key) {
      const path = fileOf(config, key)
      await requireCurrent()
      await host.remove(path)
      // Folders that others still use stay.
      const above = key.split('/').slice(0, -1)
      if (above.length > 0)
        await host.run('sh', [
          '-c',
          'cd -- "$1" && exec rmdir -p --ignore-fail-on-non-empty -- "$2"',
          'sh',
          rootOf(config),
          above.join('/'),
        ])
    },

    async sweep(host, config, before) {
      const old = ['-regextype', 'posix-extended', '-regex', asideForm, '!', '-newermt', `@${before.getTime() / 1000}`]
      return (await found(host, rootOf(config), [...old, '-printf', '%P\\0', '-delete'])).length
    },
  }
}

const isAside = (key: string) => new RegExp(`^${asideForm}$`).test(key)
