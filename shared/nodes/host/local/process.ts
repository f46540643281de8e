import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { constants, homedir } from 'node:os'
import { PassThrough } from 'node:stream'
import { NotFoundError, UnavailableError } from '#shared/errors.ts'
import { missingProgram } from '../errors.ts'
import type { ExitStatus, HostProcess, SpawnOptions } from '../host.ts'
import { refuseNul } from '../quote.ts'
import { collectTail, drained } from '../streams.ts'

const stderrBytes = 2 ** 20
const killGraceMs = 2000

/** Exit code for a signal, as in a shell: 128 + signal number. */
export function codeOfSignal(signal: string): number {
  return 128 + ((constants.signals as Record<string, number>)[signal] ?? 0)
}

/** Starts a program in a process group of its own, so that `kill` reaches its children too. */
export async function spawnLocal(
  program: string,
  args: readonly string[],
  options: SpawnOptions,
  searchPath: string,
): Promise<HostProcess> {
  options.signal?.throwIfAborted()
  refuseNul([program, ...args, ...Object.values(options.env ?? {})])
  // A minimal environment, as over SSH: ours may hold the passwords of store and bus. SHLVL is set because bash takes
  // Node's pipes, which are sockets, for a network login and would read ~/.bashrc.
  const env = { PATH: searchPath, HOME: homedir(), LC_ALL: 'C.UTF-8', SHLVL: '1', ...options.env }
  const child = spawn(program, [...args], { env, cwd: options.cwd, detached: true, stdio: 'pipe' })
  // The program may exit before it has read all input; its exit code tells the result.
  child.stdin.on('error', () => {})
  child.stdout.on('error', () => {})

  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', (error: NodeJS.ErrnoException) => reject(startError(error, program, options.cwd)))
  })

  const stderr = collectTail(child.stderr, stderrBytes)
  let giveUp = () => {}
  const exit = new Promise<ExitStatus>((resolve, reject) => {
    child.once('exit', (code, signal) => {
      void drained(child.stderr).then(() =>
        resolve({ code: code ?? codeOfSignal(signal ?? ''), signal, stderr: stderr() }),
      )
    })
    giveUp = () => reject(new UnavailableError(`${program} (pid ${child.pid}) does not end, even after SIGKILL`))
  })

  const kill = () => killGroup(child.pid as number, exit, giveUp)
  const onAbort = () => void kill()
  options.signal?.addEventListener('abort', onAbort, { once: true })
  const forget = () => options.signal?.removeEventListener('abort', onAbort)
  exit.then(forget, forget)
  if (options.signal?.aborted) onAbort()
  const own = options.ownStderr ? { stderr: child.stderr.pipe(new PassThrough()) } : {}
  return { stdin: child.stdin, stdout: child.stdout, ...own, exit, kill }
}

async function killGroup(pid: number, exit: Promise<unknown>, giveUp: () => void): Promise<void> {
  const send = (signal: 'SIGTERM' | 'SIGKILL') => {
    try {
      process.kill(-pid, signal)
    } catch {
      // The process group has ended.
    }
  }
  send('SIGTERM')
  const harder = setTimeout(() => send('SIGKILL'), killGraceMs)
  // A process in uninterruptible sleep (dead disk) cannot be killed; give up waiting for it.
  const last = setTimeout(giveUp, 3 * killGraceMs)
  await exit.catch(() => {})
  clearTimeout(harder)
  clearTimeout(last)
  send('SIGKILL')
}

function startError(error: NodeJS.ErrnoException, program: string, cwd: string | undefined): Error {
  if (error.code === 'ENOENT' && cwd !== undefined && !existsSync(cwd))
    return new NotFoundError(`Directory '${cwd}' not found on this machine`, { details: { kind: 'File', id: cwd } })
  if (error.code === 'ENOENT') return missingProgram(program, 'this machine')
  return new UnavailableError(`${program} cannot be started on this machine: ${error.message}`, { cause: error })
}
