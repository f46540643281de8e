import type { Writable } from 'node:stream'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import { capture } from '../exec/capture.ts'
import type { Command, Process } from './process.ts'

/** A tar archive of a part of a container, as it comes. */
export type ArchiveSource = {
  bytes: AsyncIterable<Buffer>
  close: () => void
  /** After the bytes have ended. @throws ConflictError when not all could be read */
  end: () => Promise<void>
}

/** Takes a tar archive for a folder of a container. */
export type ArchiveSink = {
  input: Writable
  close: () => void
  /** After the input has ended. @throws ConflictError when not all could be written */
  end: () => Promise<void>
}

/** Files in and out of a container. Paths are resolved inside the container: no link in it leads to a file of the node. */
export type Files<R> = {
  /** @throws NotFoundError for a path that is not there */
  read: (ref: R, path: string) => Promise<ArchiveSource>
  /** @throws NotFoundError for a folder that is not there */
  write: (ref: R, path: string) => Promise<ArchiveSink>
}

type Exec<R> = (ref: R, what: Command) => Promise<Process>

const asRoot = { env: {}, user: null, terminal: null }
/** The path is a parameter of the script, and no part of it. */
const inShell = (script: string, path: string) => ['/bin/sh', '-c', script, 'sh', path]
const missing = 3
const noTar = 4
const checks = {
  read: `[ -e "$1" ] || [ -L "$1" ] || exit ${missing}; command -v tar >/dev/null || exit ${noTar}`,
  write: `[ -d "$1" ] || exit ${missing}; command -v tar >/dev/null || exit ${noTar}`,
}
const keptChars = 2000

/**
 * Files by the container's own tar, run by its engine as a command: for engines whose API has no archives. The processes of
 * the container have no more rights than the container has.
 */
export function filesByTar<R>(exec: Exec<R>): Files<R> {
  const check = async (ref: R, way: 'read' | 'write', path: string) => {
    const asked = await exec(ref, { ...asRoot, command: inShell(checks[way], path), hasInput: false })
    const { exit_code: code } = await capture(asked)
    if (code === missing)
      throw new NotFoundError(`The container has no ${way === 'read' ? 'file or folder' : 'folder'} '${path}'`)
    if (code === 0) return
    throw new ConflictError(
      code === noTar || code === 127
        ? 'The container has no tar and no shell, by which files go in and out on this engine'
        : `The path '${path}' could not be looked at`,
    )
  }
  const begin = async (ref: R, command: string[], hasInput: boolean) => {
    const process = await exec(ref, { ...asRoot, command, hasInput })
    let said = ''
    const end = async () => {
      const { code } = await process.end()
      if (code !== 0) throw new ConflictError(`tar in the container: ${said.trim() || `exit code ${code}`}`)
    }
    const hear = (bytes: Buffer) => void (said = (said + bytes.toString('utf8')).slice(-keptChars))
    return { process, end, hear }
  }
  return {
    read: async (ref, path) => {
      const { folder, name } = splitPath(path)
      if (folder === '/' && name === '.')
        throw new ConflictError('The root of a container has the files of the kernel too: get a folder below it')
      await check(ref, 'read', path)
      const { process, end, hear } = await begin(ref, ['tar', '-c', '-f', '-', '-C', folder, name], false)
      const bytes = async function* () {
        for await (const piece of process.output) {
          if (piece.stream === 1) yield piece.bytes
          else hear(piece.bytes)
        }
      }
      return { bytes: bytes(), close: process.close, end }
    },
    write: async (ref, path) => {
      await check(ref, 'write', path)
      const { process, end, hear } = await begin(ref, ['tar', '-x', '-f', '-', '-C', path], true)
      const listening = (async () => {
        for await (const { bytes } of process.output) hear(bytes)
      })().catch(() => undefined)
      return {
        // A command that was begun with input has one.
        input: process.input!,
        close: process.close,
        end: async () => {
          await listening
          await end()
        },
      }
    },
  }
}

/** The folder of a path, and the name in it under which the archive has it; `.` for the root. A hyphen begins no option. */
export function splitPath(path: string): { folder: string; name: string } {
  const trimmed = path.replace(/\/+$/, '')
  const at = trimmed.lastIndexOf('/')
  const name = trimmed.slice(at + 1)
  if (name === '' || name === '.' || name === '..') return { folder: trimmed || '/', name: '.' }
  return { folder: trimmed.slice(0, at) || '/', name: name.startsWith('-') ? `./${name}` : name }
}
