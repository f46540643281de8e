import { randomUUID } from 'node:crypto'
import type { Stats } from 'node:fs'
import * as fs from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileError } from '../errors.ts'
import type { FileKind, HostCore, HostFiles } from '../host.ts'

/** The file methods on this machine; `name` is used in messages. */
export function localFiles(name: string): HostFiles {
  const as = async <T>(doing: string, path: string, work: Promise<T>): Promise<T> => {
    try {
      return await work
    } catch (error) {
      throw fileError((error as NodeJS.ErrnoException).code ?? '', doing, path, name, error)
    }
  }
  return {
    readFile: (path) => as('read', path, fs.readFile(path)),
    writeFile: (path, data, { mode = 0o644 } = {}) => as('write', path, writeAtomically(path, data, mode)),
    createExclusive: (path, data, { mode = 0o644 } = {}) => as('create', path, writeSynced(path, data, mode)),
    stat: (path) => as('read', path, statOrNull(path)),
    async list(path) {
      const entries = await as('list', path, fs.readdir(path, { withFileTypes: true }))
      return entries.map((entry) => ({ name: entry.name, kind: kindOf(entry) })).sort(byName)
    },
    async mkdir(path, { mode = 0o755 } = {}) {
      await as('create', path, fs.mkdir(path, { recursive: true, mode }))
    },
    remove: (path, { recursive = false } = {}) => as('remove', path, fs.rm(path, { recursive, force: true })),
    rename: (from, to) => as('rename', from, fs.rename(from, to)),
    async space(path) {
      const { blocks, bavail, bsize } = await as('read', path, fs.statfs(path))
      return { totalBytes: blocks * bsize, freeBytes: bavail * bsize }
    },
    realpath: (path) => as('read', path, fs.realpath(path)),
  }
}

/** Order of names by code unit, the same on every host and in every locale. */
export const byName = (a: { name: string }, b: { name: string }): number => (a.name < b.name ? -1 : 1)

async function statOrNull(path: string): ReturnType<HostCore['stat']> {
  try {
    const found = await fs.stat(path)
    const { size: sizeBytes, mode, uid, gid, mtime: modifiedAt } = found
    return { kind: kindOf(found), sizeBytes, mode: mode & 0o7777, uid, gid, modifiedAt }
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return null
    throw error
  }
}

async function writeAtomically(path: string, data: string | Uint8Array, mode: number): Promise<void> {
  const aside = join(dirname(path), `.horcrux-${randomUUID()}`)
  await writeSynced(aside, data, mode)
  try {
    await fs.rename(aside, path)
  } catch (error) {
    await fs.rm(aside, { force: true })
    throw error
  }
  await syncFolder(dirname(path))
}

async function writeSynced(path: string, data: string | Uint8Array, mode: number): Promise<void> {
  const file = await fs.open(path, 'wx', mode)
  try {
    await file.chmod(mode) // open() applies the umask
    await file.writeFile(data)
    await file.sync()
  } catch (error) {
    await fs.rm(path, { force: true })
    throw error
  } finally {
    await file.close()
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await fs.open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/** The common part of the stat results of Node and ssh2. */
type Kinds = Pick<
  Stats,
  'isFile' | 'isDirectory' | 'isSymbolicLink' | 'isBlockDevice' | 'isCharacterDevice' | 'isSocket' | 'isFIFO'
>

/** Kind of a file from its stat result. */
export function kindOf(stat: Kinds): FileKind {
  if (stat.isFile()) return 'file'
  if (stat.isDirectory()) return 'directory'
  if (stat.isSymbolicLink()) return 'link'
  if (stat.isBlockDevice()) return 'block-device'
  if (stat.isCharacterDevice()) return 'character-device'
  if (stat.isSocket()) return 'socket'
  return stat.isFIFO() ? 'fifo' : 'other'
}
