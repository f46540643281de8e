import { setTimeout as delay } from 'node:timers/promises'
import type { Duplex } from 'node:stream'
import type { DockerApi } from '#shared/nodes/docker/client.ts'
import { demultiplex } from '#shared/nodes/docker/demultiplex.ts'
import { AppError } from '#shared/errors.ts'
import { outputFrom } from '../merged.ts'
import type { Command, Ended, Output, Process, Size } from '../process.ts'

type Inspected = { Running: boolean; ExitCode: number | null }

/** The engine's own message, in place of the command's output, when the command could not be begun. */
const notBegun = /OCI runtime (exec|command).*|(runc|crun): .*|executable file .* not found in \$PATH.*/i
const isMissing = /executable file .*not found|no such file or directory|command not found/i

/** Keys that nobody types: the engine's own, Ctrl-P Ctrl-Q, would swallow each Ctrl-P. */
export const noDetachKeys = 'ctrl-_,ctrl-^,ctrl-_,ctrl-^'

/** Time in which the engine has heard the end of a command whose streams have ended. */
const endWithin = { tries: 100, everyMs: 20 }

/** Runs a command in a container (Docker API, ContainerExec and ExecStart). */
export async function exec(api: DockerApi, engineId: string, what: Command): Promise<Process> {
  const { command, env, user, terminal, hasInput } = what
  const made = (await api.send('POST', `/containers/${engineId}/exec`, {
    Cmd: command,
    Env: Object.entries(env).map(([key, value]) => `${key}=${value}`),
    ...(user !== null && { User: user }),
    AttachStdin: hasInput,
    AttachStdout: true,
    AttachStderr: true,
    Tty: terminal !== null,
    DetachKeys: noDetachKeys,
    ...(terminal && { ConsoleSize: [terminal.rows, terminal.columns] }),
  })) as { Id: string }
  const path = `/exec/${made.Id}`
  // Newer Dockers know the size by one name, Podman by the other.
  const size = terminal && { ConsoleSize: [terminal.rows, terminal.columns], h: terminal.rows, w: terminal.columns }
  const body = { Detach: false, Tty: terminal !== null, ...size }
  const { socket } = await api.stream({ method: 'POST', path: `${path}/start`, body, isUpgrade: true })
  const setSize = ({ columns, rows }: Size) => api.post(`${path}/resize?h=${rows}&w=${columns}`)
  // An older Docker knows no size at the start.
  const isSized = terminal && resizeAtFirst(setSize, terminal)
  const resize: Process['resize'] = async (next) => {
    if (!terminal) return
    // Set after a later size, the first one would stay.
    await isSized
    await setSize(next)
  }
  const said: string[] = []
  return {
    output: outputOf(socket, terminal !== null, said),
    input: hasInput ? socket : null,
    resize,
    close: () => socket.destroy(),
    end: () => endOf(api, path, said),
  }
}

const sizeTries = { count: 20, everyMs: 50 }

/** A resize counts once the command has begun: until then it is refused. */
async function resizeAtFirst(setSize: (size: Size) => Promise<unknown>, size: Size): Promise<void> {
  for (let turn = 0; turn < sizeTries.count; turn++) {
    try {
      return void (await setSize(size))
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      await delay(sizeTries.everyMs)
    }
  }
}

/** The output of a command or a container, without frames when it has a terminal. */
export const piecesOf = (socket: Duplex, isUndivided: boolean): AsyncIterable<Output> =>
  // A socket yields buffers unless it is given an encoding.
  isUndivided ? outputFrom(socket as AsyncIterable<Buffer>, 1) : eachOf(demultiplex(socket as AsyncIterable<Buffer>))

async function* eachOf(batches: AsyncIterable<Output[]>): AsyncGenerator<Output> {
  for await (const batch of batches) yield* batch
}

async function* outputOf(socket: Duplex, isUndivided: boolean, said: string[]): AsyncGenerator<Output> {
  let isFirst = true
  for await (const { stream, bytes } of piecesOf(socket, isUndivided)) {
    // Docker writes its own message to the standard output of the command.
    const own = isFirst && bytes.length < 4096 ? notBegun.exec(bytes.toString('utf8'))?.[0] : undefined
    isFirst = false
    if (own !== undefined) said.push(own)
    yield { stream: own === undefined || isUndivided ? stream : 2, bytes }
  }
}

async function endOf(api: DockerApi, path: string, said: string[]): Promise<Ended> {
  try {
    for (let turn = 0; turn < endWithin.tries; turn++) {
      const { Running, ExitCode } = (await api.send('GET', `${path}/json`)) as Inspected
      if (!Running && ExitCode !== null) return endedAs(ExitCode, said.join('\n'))
      await delay(endWithin.everyMs)
    }
  } catch (error) {
    // The engine has ended, or the container with its commands.
    if (!(error instanceof AppError)) throw error
  }
  return { code: null, reason: 'lost' }
}

/** Docker says 126 and Podman 127 for a command that is not there. */
function endedAs(code: number, said: string): Ended {
  if (said === '' || (code !== 126 && code !== 127)) return { code, reason: 'exited' }
  return isMissing.test(said) ? { code: 127, reason: 'not_found' } : { code: 126, reason: 'not_executable' }
}
