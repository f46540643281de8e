import type { Duplex, Readable, Writable } from 'node:stream'

/** Address of a stream socket as seen from the host: a Unix socket or a TCP port. */
export type SocketTarget = { path: string } | { host: string; port: number }

export type SpawnOptions = {
  /**
   * Added to a minimal environment (PATH, HOME, LC_ALL=C.UTF-8). Over SSH other users of the host may see it, so no
   * secrets.
   */
  env?: Record<string, string> | undefined
  /** Working directory. @throws NotFoundError if it is missing */
  cwd?: string | undefined
  /** Aborting kills the process and everything in its process group. */
  signal?: AbortSignal | undefined
  /** Gives the process its `stderr` as a stream, which must then be read. */
  ownStderr?: boolean | undefined
}

export type RunOptions = SpawnOptions & {
  /** Written to standard input, which is then closed. */
  input?: string | Uint8Array | undefined
  /** Like `input`, for passwords and keys: it appears in no message, even if the program repeats it on stderr. */
  secretInput?: string | undefined
  /** The process is killed after this time. Default 60,000; `Infinity` for no limit. */
  timeoutMs?: number | undefined
  /** The process is killed when it writes more than this to stdout. Default 16 MiB. */
  maxOutputBytes?: number | undefined
  /** Receives stdout in pieces; then nothing is collected and `maxOutputBytes` does not apply. */
  onStdout?: ((chunk: Buffer) => void) | undefined
}

export type ExitStatus = {
  /** Exit code; 128 + signal number after a signal, as in a shell. */
  code: number
  /** Name of the signal that ended it, such as `SIGKILL`. */
  signal: string | null
  /** The last 1 MiB of stderr. */
  stderr: string
}

/** `stdout` is decoded as UTF-8 on access; `bytes` is the raw output. */
export type RunResult = ExitStatus & { readonly stdout: string; bytes: Buffer }

/** A running program. The host drains stderr, so that a full pipe blocks nothing. */
export type HostProcess = {
  stdin: Writable
  /** Must be read or destroyed; otherwise the program blocks on a full pipe. */
  stdout: Readable
  /** With `ownStderr` only. */
  stderr?: Readable
  /** Resolves when the process has ended; rejects with UnavailableError when the host is lost. Safe to ignore. */
  exit: Promise<ExitStatus>
  /** TERM to the process group, KILL after two seconds. Resolves when the process has ended. */
  kill: () => Promise<void>
}

export type FileKind = 'file' | 'directory' | 'link' | 'block-device' | 'character-device' | 'socket' | 'fifo' | 'other'

export type FileStat = {
  kind: FileKind
  /** 0 for a block device. */
  sizeBytes: number
  /** Permission bits, such as 0o644. */
  mode: number
  uid: number
  gid: number
  modifiedAt: Date
}

/** A local Unix socket that leads to a socket of the host. */
export type Forward = { path: string; close: () => Promise<void> }

/**
 * A machine that drivers work on: this one, or one over SSH. Paths are absolute. No method runs its arguments through a
 * shell.
 * @throws UnavailableError from all methods if the host is unreachable, out of space or denies permission
 */
export type Host = {
  /** Name in messages: `this machine` or `root@10.0.0.7:22`. */
  describe: () => string
  /**
   * Runs a program to its end and returns any exit code.
   * @throws UnavailableError for a missing program, a timeout or too much output
   */
  run: (program: string, args: readonly string[], options?: RunOptions) => Promise<RunResult>
  /** Like `run`. @throws CommandError for a non-zero exit code */
  runChecked: (program: string, args: readonly string[], options?: RunOptions) => Promise<RunResult>
  /** Starts a program and returns its streams, for data of any length. No time limit. */
  spawn: (program: string, args: readonly string[], options?: SpawnOptions) => Promise<HostProcess>
  /** Path of a program, or null. */
  which: (program: string) => Promise<string | null>

  /** Reads a file. @throws NotFoundError */
  readFile: (path: string) => Promise<Buffer>
  /**
   * Writes a file atomically and durably: written to a temporary file, synced, renamed. `mode` default 0o644. A link at
   * `path` is replaced.
   */
  writeFile: (path: string, data: string | Uint8Array, options?: { mode?: number }) => Promise<void>
  /** Creates a file. It may be visible empty for a moment. @throws ConflictError if it exists */
  createExclusive: (path: string, data: string | Uint8Array, options?: { mode?: number }) => Promise<void>
  /** Follows links; null if nothing exists there. */
  stat: (path: string) => Promise<FileStat | null>
  /** Names in a directory, sorted. @throws NotFoundError */
  list: (path: string) => Promise<{ name: string; kind: FileKind }[]>
  /** Makes a directory and its parents; an existing one is fine. `mode` applies to the directories it makes. */
  mkdir: (path: string, options?: { mode?: number }) => Promise<void>
  /** Removes a file; a missing one is fine. A directory needs `recursive`. */
  remove: (path: string, options?: { recursive?: boolean }) => Promise<void>
  /** Renames atomically and replaces a file at `to`. @throws NotFoundError */
  rename: (from: string, to: string) => Promise<void>
  /** Size of the file system of `path`, and the space that an ordinary user can still write. @throws NotFoundError */
  space: (path: string) => Promise<{ totalBytes: number; freeBytes: number }>
  /** Resolves all links. @throws NotFoundError */
  realpath: (path: string) => Promise<string>

  /** Connects to a socket. @throws UnavailableError if nothing listens there */
  openSocket: (target: SocketTarget) => Promise<Duplex>
  /** Makes a local Unix socket in a folder of mode 0700; each connection to it opens one on the host. */
  forwardSocket: (target: SocketTarget) => Promise<Forward>

  /**
   * The file methods in another process: a file system that does not answer stops only calls of its lane. A host without
   * it has `files-by-programs.ts`.
   */
  filesOfLane?: (lane: Lane) => HostFiles

  /** Of a host over SSH: pins another host key for the next connection. An open connection goes on, with its programs. */
  pin?: (hostKey: string) => void

  /**
   * Of a host over SSH: the same host over a connection of its own that compresses (zlib), for large data. The caller
   * closes it.
   */
  compressed?: () => Host

  /**
   * Of a host over SSH: connects to a socket as `openSocket` does, for large data. The bytes pass through the program ssh
   * where this machine has it. Nothing tells that nobody listens there but the early end of the connection.
   */
  openBulk?: (target: SocketTarget) => Promise<Duplex>

  /** Ends all programs, forwards and connections of this host. Afterwards every method throws. */
  close: () => Promise<void>
}

/** The file methods of a host. */
export type HostFiles = Pick<
  Host,
  'readFile' | 'writeFile' | 'createExclusive' | 'stat' | 'list' | 'mkdir' | 'remove' | 'rename' | 'space' | 'realpath'
>

/** Calls that may hang together, such as those of one storage pool. `timeoutMs`: of each call; `Infinity` for no limit. */
export type Lane = { lane: string; timeoutMs: number }

/** The part that each kind of host implements; `completeHost` adds the rest. */
export type HostCore = Omit<Host, 'run' | 'runChecked' | 'forwardSocket'>
