import { NotFoundError, UnavailableError } from '#shared/errors.ts'
import type { FileStat, Host, HostFiles, RunResult } from '../host/host.ts'
import { textOf } from './kernel-files.ts'
import { imageOfSource, type World } from './world.ts'

const resultOf = (stdout: string): RunResult => ({
  code: 0,
  signal: null,
  stderr: '',
  stdout,
  bytes: Buffer.from(stdout),
})

/** `==> PATH <==` before each file, as tail prints them. */
const tailOf = (texts: [string, string | null][]): string =>
  texts.flatMap(([path, text]) => (text === null ? [] : [`==> ${path} <==\n${text}\n`])).join('')

const tebi = 2 ** 40

/** Tells the identities of images, each of its own; no other file is there. */
function statOf(world: World, args: readonly string[]): RunResult {
  const paths = args.slice(args.indexOf('--') + 1)
  const isThere = (path: string) => imageOfSource(world, { type: 'file', path }) !== null
  const told = paths.filter(isThere).map((path) => `0:${encodeURIComponent(path)} ${path}\0`)
  const missing = paths.filter((path) => !isThere(path))
  const stderr = missing.map((path) => `stat: cannot statx '${path}': No such file or directory\n`).join('')
  return { ...resultOf(told.join('')), code: missing.length > 0 ? 1 : 0, stderr }
}

/**
 * A host of a simulation: files of its kernel, the few programs that read them, and files in memory. Nothing of it reaches
 * the machine that the simulation runs on.
 */
export function simulatedHost(world: World, node: string): Host {
  const name = `simulated host '${node}'`
  const files = new Map<string, Buffer>()
  const kernel = (path: string) => textOf(world, node, path)
  const bytesOf = (path: string): Buffer | null => {
    const text = kernel(path)
    return text === null ? (files.get(path) ?? null) : Buffer.from(text)
  }
  const absent = (what: string) => new NotFoundError(`${what} is not on ${name}`)
  const without = (what: string) => new UnavailableError(`${name} has no ${what}: nothing runs in a simulation`)
  const below = (path: string) => [...files.keys()].filter((each) => each.startsWith(`${path}/`))

  const ownFiles: HostFiles = {
    readFile: async (path) => {
      const found = bytesOf(path)
      if (!found) throw absent(path)
      return found
    },
    writeFile: async (path, data) => void files.set(path, Buffer.from(data)),
    createExclusive: async (path, data) => void files.set(path, Buffer.from(data)),
    stat: async (path): Promise<FileStat | null> => {
      const at = { mode: 0o644, uid: 0, gid: 0, modifiedAt: new Date(0) }
      if (path === '/dev/kvm') return { ...at, kind: 'character-device', sizeBytes: 0 }
      const found = bytesOf(path)
      if (found) return { ...at, kind: 'file', sizeBytes: found.length }
      return below(path).length > 0 ? { ...at, kind: 'directory', sizeBytes: 0 } : null
    },
    list: async (path) => {
      const names = new Set(below(path).map((each) => each.slice(path.length + 1).split('/')[0]!))
      if (names.size === 0) throw absent(path)
      return [...names].toSorted().map((each) => ({
        name: each,
        kind: files.has(`${path}/${each}`) ? ('file' as const) : ('directory' as const),
      }))
    },
    mkdir: async () => undefined,
    remove: async (path) => {
      for (const each of [path, ...below(path)]) files.delete(each)
    },
    rename: async (from, to) => {
      const found = files.get(from)
      if (!found) throw absent(from)
      files.delete(from)
      files.set(to, found)
    },
    space: async () => ({ totalBytes: tebi, freeBytes: tebi / 2 }),
    realpath: async (path) => path,
  }

  const run: Host['run'] = async (program, args, { input } = {}) => {
    if (program === 'uname') return resultOf('x86_64\n')
    if (program === 'date') return resultOf(`${(Date.now() / 1000).toFixed(6)}\n`)
    if (program === 'tail') return resultOf(tailOf(args.slice(2).map((path) => [path, kernel(path)])))
    if (program === 'df') return resultOf(`header\nsimulated ${tebi} ${tebi / 2} ${tebi / 2} 50% /\n`)
    if (program === 'stat') return statOf(world, args)
    // Files of containers: `xargs --null tail --verbose`.
    if (program === 'xargs') {
      const paths = String(input ?? '')
        .split('\0')
        .filter((path) => path !== '')
      return resultOf(tailOf(paths.map((path) => [path, kernel(path)])))
    }
    throw without(`program '${program}'`)
  }

  return {
    describe: () => name,
    run,
    runChecked: run,
    spawn: async (program) => {
      throw without(`program '${program}'`)
    },
    which: async () => null,
    ...ownFiles,
    filesOfLane: () => ownFiles,
    openSocket: async () => {
      throw without('sockets')
    },
    forwardSocket: async () => {
      throw without('sockets')
    },
    close: async () => undefined,
  }
}
