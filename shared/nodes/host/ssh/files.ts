import { randomUUID } from 'node:crypto'
import { dirname, join } from 'node:path'
import type { Client, SFTPWrapper } from 'ssh2'
import { AppError, UnavailableError } from '#shared/errors.ts'
import { errnoIn, fileError } from '../errors.ts'
import type { FileStat, HostFiles, RunOptions, RunResult } from '../host.ts'
import { byName, kindOf } from '../local/files.ts'
import { lost, whileFull } from './channel.ts'
import type { SshConnection } from './connection.ts'

type Run = (program: string, args: readonly string[], options?: RunOptions) => Promise<RunResult>
type Done<T> = (error: Error | null | undefined, value: T) => void

/**
 * SFTP status codes (draft-ietf-secsh-filexfer-02 section 7) as errno names. Code 4, "failure", has no errno; OpenSSH
 * answers 5, "bad message", for a name that is too long.
 */
const errnos: Record<number, string> = { 2: 'ENOENT', 3: 'EACCES', 5: 'ENAMETOOLONG' }

/** The file methods over SFTP; operations that SFTP does badly, such as removing a tree, use one command. */
export function sshFiles(connection: SshConnection, name: string, run: Run): HostFiles {
  const sessions = new WeakMap<Client, Promise<SFTPWrapper>>()

  async function session(client: Client): Promise<SFTPWrapper> {
    let opening = sessions.get(client)
    if (!opening) {
      opening = whileFull(() => openSftp(connection, client, name))
      sessions.set(client, opening)
      const forget = () => void sessions.delete(client)
      opening.then((sftp) => sftp.once('close', forget), forget)
    }
    return opening
  }

  async function ask<T>(doing: string, path: string, work: (sftp: SFTPWrapper) => Promise<T>): Promise<T> {
    const client = await connection.use()
    try {
      return await orLost(client, work(await session(client)))
    } catch (error) {
      if (error instanceof AppError) throw error
      if (!connection.isLive(client)) throw lost(name, error)
      const { code } = error as Error & { code?: number }
      throw fileError(errnos[code ?? -1] ?? '', doing, path, name, error)
    }
  }

  async function stat(path: string): Promise<FileStat | null> {
    try {
      const found = await ask('read', path, (sftp) =>
        call<Parameters<Parameters<SFTPWrapper['stat']>[1]>[1]>((done) => sftp.stat(path, done)),
      )
      const { size: sizeBytes, mode, uid, gid, mtime } = found
      return { kind: kindOf(found), sizeBytes, mode: mode & 0o7777, uid, gid, modifiedAt: new Date(mtime * 1000) }
    } catch (error) {
      if (error instanceof AppError && error.status === 404) return null
      throw error
    }
  }

  /** Runs a file command and translates its failure to the errors of the file methods. */
  async function command(doing: string, path: string, program: string, args: string[]): Promise<void> {
    const { code, stderr } = await run(program, args)
    if (code !== 0) throw fileError(errnoIn(stderr), doing, path, name, new Error(stderr.trim()))
  }

  return {
    readFile: (path) => ask('read', path, (sftp) => call<Buffer>((done) => sftp.readFile(path, done))),
    writeFile: (path, data, { mode = 0o644 } = {}) =>
      ask('write', path, async (sftp) => {
        const aside = join(dirname(path), `.horcrux-${randomUUID()}`)
        await writeSynced(sftp, aside, data, mode)
        try {
          await call<void>((done) => sftp.ext_openssh_rename(aside, path, done))
        } catch (error) {
          await call<void>((done) => sftp.unlink(aside, done))
          throw error
        }
      }),
    async createExclusive(path, data, { mode = 0o644 } = {}) {
      try {
        await ask('create', path, (sftp) => writeSynced(sftp, path, data, mode))
      } catch (error) {
        // For an existing file SFTP says only "failure".
        if (error instanceof UnavailableError && (await stat(path)) !== null)
          throw fileError('EEXIST', 'create', path, name, error)
        throw error
      }
    },
    stat,
    async list(path) {
      const entries = await ask('list', path, (sftp) =>
        call<Parameters<Parameters<SFTPWrapper['readdir']>[1]>[1]>((done) => sftp.readdir(path, done)),
      )
      return entries.map(({ filename, attrs }) => ({ name: filename, kind: kindOf(attrs) })).sort(byName)
    },
    async mkdir(path, { mode = 0o755 } = {}) {
      const umask = (0o777 & ~mode).toString(8)
      await command('create', path, 'sh', ['-c', 'umask "$1" && exec mkdir -p -- "$2"', 'sh', umask, path])
    },
    remove: (path, { recursive = false } = {}) =>
      command('remove', path, 'rm', recursive ? ['-rf', '--', path] : ['-f', '--', path]),
    rename: (from, to) => ask('rename', from, (sftp) => call<void>((done) => sftp.ext_openssh_rename(from, to, done))),
    async space(path) {
      const info = await ask('read', path, (sftp) =>
        call<Record<'f_blocks' | 'f_bavail' | 'f_frsize', number>>((done) => sftp.ext_openssh_statvfs(path, done)),
      )
      return { totalBytes: info.f_blocks * info.f_frsize, freeBytes: info.f_bavail * info.f_frsize }
    },
    async realpath(path) {
      // OpenSSH accepts a path whose last part is missing.
      return ask('read', path, async (sftp) => {
        const real = await call<string>((done) => sftp.realpath(path, done))
        await call<unknown>((done) => sftp.stat(real, done))
        return real
      })
    },
  }
}

function call<T>(start: (done: Done<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => start((error, value) => (error ? reject(error) : resolve(value))))
}

/** ssh2 leaves some SFTP calls without an answer when the connection dies, such as the close after a failed read. */
function orLost<T>(client: Client, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const onClose = () => reject(new Error('No response from server'))
    const forget = () => void client.off('close', onClose)
    client.once('close', onClose)
    work.then(resolve, reject).then(forget, forget)
  })
}

async function openSftp(connection: SshConnection, client: Client, name: string): Promise<SFTPWrapper> {
  try {
    const sftp = await call<SFTPWrapper>((done) => client.sftp(done))
    sftp.on('error', () => {})
    return sftp
  } catch (cause) {
    if (!connection.isLive(client) || (cause as Error).message === 'Not connected') throw lost(name, cause)
    const { message } = cause as Error
    throw new UnavailableError(`${name} offers no SFTP, which Horcrux requires for files: ${message}`, { cause })
  }
}

async function writeSynced(sftp: SFTPWrapper, path: string, data: string | Uint8Array, mode: number): Promise<void> {
  const bytes = typeof data === 'string' ? Buffer.from(data) : Buffer.from(data.buffer, data.byteOffset, data.length)
  const file = await call<Buffer>((done) => sftp.open(path, 'wx', mode, done))
  try {
    await call<void>((done) => sftp.fchmod(file, mode, done)) // open applies the umask
    if (bytes.length > 0) await call<void>((done) => sftp.write(file, bytes, 0, bytes.length, 0, done))
    await call<void>((done) => sftp.ext_openssh_fsync(file, done))
    await call<void>((done) => sftp.close(file, done))
  } catch (error) {
    sftp.close(file, () => {})
    sftp.unlink(path, () => {})
    throw error
  }
}
