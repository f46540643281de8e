import type { Duplex, Readable, Writable } from 'node:stream'

/** Where a stream socket listens, seen from the host: a Unix socket or a TCP port. */
export type SocketTarget = { path: string } | { host: string; port: number }

export type SpawnOptions = {
  /** Added to a small clean environment (PATH, HOME, LC_ALL=C.UTF-8). Over SSH others on the host may see it: no secrets. */
  env?: Record<string, string> | undefined
  /** Working directory; missing is a NotFoundError. */
  cwd?: string | undefined
  /** Aborting kills the process and everything in its process group. */
  signal?: AbortSignal | undefined
}

export type RunOptions = SpawnOptions & {
  /** Written to standard input, which is then closed. */
  input?: string | Uint8Array | undefined
  /** As `input`, for passwords and keys: it appears in no message, even when the program repeats it on stderr. */
  secretInput?: string | undefined
  /** The process is killed after this time. Default 60,000; `Infinity` for no limit. */
  timeoutMs?: number | undefined
  /** The process is killed when it writes more than this to stdout. Default 16 MiB. */
  maxOutputBytes?: number | undefined
  /** Gets stdout piece by piece; then nothing is collected and `maxOutputBytes` does not apply. */
  onStdout?: ((chunk: Buffer) => void) | undefined
}

export type ExitStatus = {
  /** Exit code; 128 + the signal's number when a signal ended it, as in a shell. */
  code: number
  /** Such as `SIGKILL`, when a signal ended it. */
  signal: string | null
  /** The last 1 MiB of stderr. */
  stderr: string
}

/** `stdout` is decoded as UTF-8 when read; `bytes` has it as it came. */
export type RunResult = ExitStatus & { readonly stdout: string; bytes: Buffer }

/** A running program. stderr is drained and kept by the host, so that a full pipe stops nobody. */
export type HostProcess = {
  stdin: Writable
  /** Must be read (or destroyed): the program waits when nobody does. */
  stdout: Readable
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
 * A machine on which drivers work: this one or one over SSH. All verbs throw UnavailableError when the host cannot be
 * reached, is out of space or does not permit it. Paths are absolute. No verb runs its arguments through a shell.
 */
export type Host = {
  /** For messages: `this machine` or `root@10.0.0.7:22`. */
  describe: () => string
  /** Runs a program to its end, whatever its exit code. Throws UnavailableError: missing program, time over, too much output. */
  run: (program: string, args: readonly string[], options?: RunOptions) => Promise<RunResult>
  /** As `run`, but an exit code other than 0 throws CommandError. */
  runChecked: (program: string, args: readonly string[], options?: RunOptions) => Promise<RunResult>
  /** Starts a program and gives its streams, for pipes of any length. No time limit. */
  spawn: (program: string, args: readonly string[], options?: SpawnOptions) => Promise<HostProcess>
  /** Path of a program, or null. */
  which: (program: string) => Promise<string | null>

  /** Throws NotFoundError. */
  readFile: (path: string) => Promise<Buffer>
  /** Atomic and durable: written aside, synced, renamed over. `mode` default 0o644. A link at `path` is replaced. */
  writeFile: (path: string, data: string | Uint8Array, options?: { mode?: number }) => Promise<void>
  /** Creates the file or throws ConflictError when it exists. A reader may see it empty for a moment. */
  createExclusive: (path: string, data: string | Uint8Array, options?: { mode?: number }) => Promise<void>
  /** Follows links; null when there is nothing. */
  stat: (path: string) => Promise<FileStat | null>
  /** Names in a directory, sorted. Throws NotFoundError. */
  list: (path: string) => Promise<{ name: string; kind: FileKind }[]>
  /** With parents; an existing directory is fine. `mode` is for the directories that it makes. */
  mkdir: (path: string, options?: { mode?: number }) => Promise<void>
  /** A missing file is fine. A directory needs `recursive`. */
  remove: (path: string, options?: { recursive?: boolean }) => Promise<void>
  /** Atomic; replaces a file at `to`. Throws NotFoundError. */
  rename: (from: string, to: string) => Promise<void>
  /** Of the file system of `path`: its size, and what an ordinary user can still write. Throws NotFoundError. */
  space: (path: string) => Promise<{ totalBytes: number; freeBytes: number }>
  /** The path without links. Throws NotFoundError. */
  realpath: (path: string) => Promise<string>

  /** Throws UnavailableError when nothing listens there. */
  openSocket: (target: SocketTarget) => Promise<Duplex>
  /** A local Unix socket in a folder that only this user can enter; each connection opens one at the host. */
  forwardSocket: (target: SocketTarget) => Promise<Forward>

  /** Ends what still runs through this host, its forwards and its connection. Afterwards every verb throws. */
  close: () => Promise<void>
}

/** What a host implements itself; `completeHost` adds the rest. */
export type HostCore = Omit<Host, 'run' | 'runChecked' | 'forwardSocket'>
