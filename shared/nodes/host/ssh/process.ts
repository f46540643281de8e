import { randomUUID } from 'node:crypto'
import { Transform } from 'node:stream'
import { NotFoundError, UnavailableError, invalid } from '#shared/errors.ts'
import { missingProgram } from '../errors.ts'
import type { ExitStatus, HostProcess, SpawnOptions } from '../host.ts'
import { codeOfSignal } from '../local/process.ts'
import { quoteCommand } from '../quote.ts'
import { type Opened, channelReadable, channelWritable, lost, openChannel, whileFull } from './channel.ts'
import type { SshConnection } from './connection.ts'
import { collectTail, drained } from '../streams.ts'

const stderrBytes = 2 ** 20
/** Limit of a single argument on Linux (MAX_ARG_STRLEN): sshd passes the command as one argument. */
const maxCommandBytes = 128 * 1024 - 1
const killedWithinMs = 6000

// Prints the process id. SSH does not report it, and OpenSSH accepts no signal after the end of stdin. Therefore the shell
// prints its own id, which exec keeps, on stderr first. sshd made it the leader of its process group.
const reportPid = `printf '%s %s\\n' "$1" "$$" >&2; shift; exec "$@"`

// dash knows no `--` here.
const killScript = `kill -TERM "-$1" 2>/dev/null
n=0
while [ $n -lt 20 ] && kill -0 "-$1" 2>/dev/null; do sleep 0.1; n=$((n + 1)); done
kill -KILL "-$1" 2>/dev/null
exit 0`

export type SshExec = {
  connection: SshConnection
  name: string
  /** Distinguishes a missing program from exit code 127 of the program itself. */
  which: (program: string) => Promise<string | null>
}

/** Starts a program over SSH. `released` is called once when its session has ended. */
export async function spawnSsh(
  ssh: SshExec,
  program: string,
  args: readonly string[],
  options: SpawnOptions,
  released: () => void,
): Promise<HostProcess> {
  const mark = randomUUID()
  // sshd gives ordinary users a PATH without sbin.
  const words = ['-c', `PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin; ${reportPid}`, 'sh', mark, program, ...args]
  const env = { LC_ALL: 'C.UTF-8', ...options.env }
  const opened = await openExec(ssh, 'sh', words, { env, cwd: options.cwd }).catch((error: unknown) => {
    released()
    throw error
  })
  const { channel } = opened
  const stderr = collectTail(channel.stderr, stderrBytes)
  const pid = pidFrom(channel.stderr, mark)

  const givenUp = Promise.withResolvers<never>()
  const ended = exitOf(opened, ssh.name, mark, stderr, released)
  const exit = Promise.race([ended, givenUp.promise]).then((status) =>
    startedOrThrow(ssh, program, options.cwd, status, pid.seen()),
  )
  exit.catch(() => {})

  const kill = async () => {
    const timer = setTimeout(() => {
      channel.close()
      givenUp.reject(new UnavailableError(`${program} on ${ssh.name} does not end, even after SIGKILL`))
    }, killedWithinMs)
    const id = await Promise.race([pid.promise, exit.then(() => null).catch(() => null)])
    if (id !== null) await killGroup(ssh, id).catch(() => {})
    await exit.catch(() => {})
    clearTimeout(timer)
  }
  const onAbort = () => void kill()
  options.signal?.addEventListener('abort', onAbort, { once: true })
  const forget = () => options.signal?.removeEventListener('abort', onAbort)
  exit.then(forget, forget)
  if (options.signal?.aborted) onAbort()
  const own = options.ownStderr ? { stderr: channel.stderr.pipe(withoutFirstLine()) } : {}
  return { stdin: channelWritable(opened, ssh.name), stdout: channelReadable(opened, ssh.name), ...own, exit, kill }
}

/** Leaves out the line with the process id. */
function withoutFirstLine(): Transform {
  let isPast = false
  return new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      const end = isPast ? 0 : chunk.indexOf(0x0a) + 1
      if (!isPast && end === 0) return done()
      isPast = true
      done(null, chunk.subarray(end))
    },
  })
}

async function exitOf(
  { client, channel, exited }: Opened,
  name: string,
  mark: string,
  stderr: () => string,
  released: () => void,
): Promise<ExitStatus> {
  const [code, signal] = await new Promise<[number | null, string | undefined]>((resolve, reject) => {
    const onLost = () => {
      released()
      reject(lost(name))
    }
    client.once('close', onLost)
    void exited.then(resolve)
    // No exit before the close: the connection or the server's session died.
    channel.once('close', () => {
      client.off('close', onLost)
      setImmediate(onLost) // after `exited`
    })
  })
  await drained(channel.stderr)
  const text = stderr()
  const start = text.indexOf(`${mark} `)
  const own = start < 0 ? text : text.slice(text.indexOf('\n', start) + 1)
  return { code: code ?? codeOfSignal(signal ?? ''), signal: signal ?? null, stderr: own }
}

async function openExec(
  { connection, name }: SshExec,
  ...[program, args, options]: Parameters<typeof quoteCommand>
): Promise<Opened> {
  const command = quoteCommand(program, args, options)
  if (Buffer.byteLength(command) > maxCommandBytes)
    throw invalid('arguments', `the command is longer than ${maxCommandBytes} bytes; give long data as input`)
  const open = () =>
    openChannel(
      connection,
      name,
      (client, done) => client.exec(command, done),
      (cause) => new UnavailableError(`${name} refused to run a command: ${cause.message}`, { cause }),
    )
  return whileFull(open)
}

async function killGroup(ssh: SshExec, pid: number): Promise<void> {
  const { channel } = await openExec(ssh, 'sh', ['-c', killScript, 'sh', String(pid)])
  channel.resume()
  channel.stderr.resume()
  await new Promise((resolve) => channel.once('close', resolve))
}

function pidFrom(stderr: NodeJS.ReadableStream, mark: string): { promise: Promise<number>; seen: () => boolean } {
  const { promise, resolve } = Promise.withResolvers<number>()
  let text = ''
  let seen = false
  const look = (chunk: Buffer) => {
    text += chunk.toString('latin1')
    const found = new RegExp(`${mark} (\\d+)\\n`).exec(text)
    if (!found) return
    seen = true
    stderr.off('data', look)
    resolve(Number(found[1]))
  }
  stderr.on('data', look)
  return { promise, seen: () => seen }
}

async function startedOrThrow(
  ssh: SshExec,
  program: string,
  cwd: string | undefined,
  status: ExitStatus,
  started: boolean,
): Promise<ExitStatus> {
  if (!started && cwd !== undefined)
    throw new NotFoundError(`Directory '${cwd}' not found on ${ssh.name}`, { details: { kind: 'File', id: cwd } })
  if (!started)
    throw new UnavailableError(`${ssh.name} provides no shell: ${status.stderr.trim() || `exit ${status.code}`}`)
  if (status.code === 127 && (await ssh.which(program)) === null) throw missingProgram(program, ssh.name)
  return status
}
