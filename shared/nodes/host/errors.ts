import { ConflictError, NotFoundError, UnavailableError } from '#shared/errors.ts'
import { packageOf } from './packages.ts'

const stderrChars = 2000

/** A program ended with a non-zero exit code. Drivers translate it; it contains no arguments and no input. */
export class CommandError extends Error {
  readonly program: string
  readonly code: number
  /** Trimmed; the last 2,000 characters. */
  readonly stderr: string

  constructor(program: string, code: number, stderr: string, host: string) {
    const text = stderr.trim().slice(-stderrChars)
    super(`${program} on ${host} failed with exit code ${code}${text ? `: ${text}` : ''}`)
    this.name = 'CommandError'
    this.program = program
    this.code = code
    this.stderr = text
  }
}

/** Error of a call on a closed host. */
export function closedError(host: string): UnavailableError {
  return new UnavailableError(`The connection to ${host} was closed`)
}

/** Error for a missing program, with its Debian package if known. */
export function missingProgram(program: string, host: string): UnavailableError {
  const debian = packageOf(program)
  const help = debian ? `; on Debian: apt-get install ${debian}` : ''
  return new UnavailableError(`${program} is not installed on ${host}${help}`, {
    details: { program, package: debian },
  })
}

const words: Record<string, string> = {
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  ENOSPC: 'no space left on the device',
  EDQUOT: 'the disk quota is used up',
  EROFS: 'the file system is read-only',
  EISDIR: 'it is a directory',
  ERR_FS_EISDIR: 'it is a directory', // Node's own, from rm
  ENOTDIR: 'a part of the path is not a directory',
  ENAMETOOLONG: 'the name is too long',
  ELOOP: 'too many links',
  EIO: 'input/output error of the device',
}

/** Translates a file system error, identified by its errno name. */
export function fileError(errno: string, doing: string, path: string, host: string, cause: unknown): Error {
  const details = { kind: 'File', id: path, errno }
  if (errno === 'ENOENT') return new NotFoundError(`File '${path}' not found on ${host}`, { details, cause })
  if (errno === 'EEXIST') return new ConflictError(`${path} already exists on ${host}`, { details, cause })
  if (errno === 'ENOTEMPTY') return new ConflictError(`${path} on ${host} is not empty`, { details, cause })
  const why = words[errno] ?? (cause instanceof Error ? cause.message : errno)
  return new UnavailableError(`Cannot ${doing} ${path} on ${host}: ${why}`, { details, cause })
}

const ofPath = new Set(['EACCES', 'ELOOP', 'ENAMETOOLONG', 'ENOTDIR', 'EPERM', 'EROFS'])

/** True for an error that the path itself causes: the host works, and the same path fails again. */
export const isOfPath = (error: unknown): error is UnavailableError =>
  error instanceof UnavailableError && ofPath.has(String(error.details['errno']))

const sentences: [RegExp, string][] = [
  // The second are the words of dash.
  [/No such file or directory|Directory nonexistent/, 'ENOENT'],
  [/File exists/, 'EEXIST'],
  [/Permission denied/, 'EACCES'],
  [/Operation not permitted/, 'EPERM'],
  [/Read-only file system/, 'EROFS'],
  [/No space left/, 'ENOSPC'],
  [/Disk quota exceeded/, 'EDQUOT'],
  [/Input\/output error/, 'EIO'],
  [/Is a directory/, 'EISDIR'],
  [/Not a directory/, 'ENOTDIR'],
  [/Directory not empty/, 'ENOTEMPTY'],
  [/File name too long/, 'ENAMETOOLONG'],
  [/Too many levels of symbolic links/, 'ELOOP'],
]

/** The errno in the words of a program that works on files; empty when there is none. */
export const errnoIn = (stderr: string): string => sentences.find(([pattern]) => pattern.test(stderr))?.[1] ?? ''
