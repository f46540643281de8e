import type { WebSocket } from 'ws'
import { AppError } from '#shared/errors.ts'
import type { Api } from '#shared/nodes/lxd/client.ts'
import { merged, outputFrom } from '../merged.ts'
import type { Command, Ended, Process, Size } from '../process.ts'
import { openSocket, writableTo } from './sockets.ts'

/** Secrets of the streams, by descriptor; a terminal has one stream for all. */
type Secrets = { fds: Record<'0' | '1' | '2' | 'control', string> }

/** The wait for a command's end is asked for again after this long. */
const waitSeconds = 30

/** Runs a command in an instance ("REST API": POST /1.0/instances/{name}/exec). */
export async function exec(api: Api, instancePath: string, what: Command): Promise<Process> {
  const { command, env, user, terminal, hasInput } = what
  const { operation, metadata } = await api.background(`${instancePath}/exec`, {
    command,
    environment: env,
    ...(user !== null && { user: Number(user) }),
    'wait-for-websocket': true,
    interactive: terminal !== null,
    ...(terminal && { width: terminal.columns, height: terminal.rows }),
  })
  const { fds } = metadata as Secrets
  const open = (fd: keyof Secrets['fds']) => openSocket(api, `${operation}/websocket?secret=${fds[fd]}`)
  const [control, input, ...outputs] = terminal
    ? [await open('control'), await open('0')]
    : [await open('control'), await open('0'), await open('1'), await open('2')]
  if (!hasInput && !terminal) input!.socket.send('', { binary: false })
  const streams = terminal ? [input!] : outputs
  return {
    output: merged(streams.map(({ data }, index) => outputFrom(data, index === 0 ? 1 : 2))),
    input: hasInput ? writableTo(input!.socket) : null,
    resize: async (size) => resize(control!.socket, size),
    close: () => {
      for (const { socket } of [control!, input!, ...outputs]) socket.close()
    },
    end: async () => {
      // The engine waits until the client too has closed the stream of a terminal.
      if (terminal) input!.socket.close()
      try {
        return await endOf(api, operation)
      } finally {
        control!.socket.close()
      }
    },
  }
}

const resize = (control: WebSocket, { columns, rows }: Size) =>
  control.send(JSON.stringify({ command: 'window-resize', args: { width: String(columns), height: String(rows) } }))

const usualSize: Size = { columns: 80, rows: 24 }

/** Attaches to the console of an instance ("REST API": POST /1.0/instances/{name}/console). */
export async function attachConsole(api: Api, instancePath: string, hasInput: boolean): Promise<Process> {
  const { columns: width, rows: height } = usualSize
  const { operation, metadata } = await api.background(`${instancePath}/console`, { type: 'console', width, height })
  const { fds } = metadata as Secrets
  const open = (fd: '0' | 'control') => openSocket(api, `${operation}/websocket?secret=${fds[fd]}`)
  const [control, both] = [await open('control'), await open('0')]
  return {
    output: outputFrom(both.data, 1),
    input: hasInput ? writableTo(both.socket) : null,
    resize: async (size) => resize(control.socket, size),
    close: () => {
      for (const { socket } of [control, both]) socket.close()
    },
    // The engine keeps no exit code of a container.
    end: async () => {
      control.socket.close()
      return { code: null, reason: 'exited' }
    },
  }
}

async function endOf(api: Api, operation: string): Promise<Ended> {
  try {
    for (;;) {
      const { code, error, metadata } = await api.ended(operation, waitSeconds)
      if (code < 200) continue
      const { return: exitCode } = (metadata ?? {}) as { return?: number }
      return (
        beginningOf(error) ?? (exitCode === undefined || exitCode < 0 ? lost : { code: exitCode, reason: 'exited' })
      )
    }
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    // Incus answers the wait with the error of the operation.
    return beginningOf(error.message) ?? lost
  }
}

const lost: Ended = { code: null, reason: 'lost' }

/** The outcome of a command that could not be begun; null for other words. */
function beginningOf(words: string): Ended | null {
  if (/command not found/i.test(words)) return { code: 127, reason: 'not_found' }
  return /not executable/i.test(words) ? { code: 126, reason: 'not_executable' } : null
}
