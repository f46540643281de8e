import { PassThrough, Writable } from 'node:stream'
import type { WebSocket } from 'undici'
import { AppError } from '#shared/errors.ts'
import type { Api } from '#shared/nodes/lxd/client.ts'
import type { Command, Ended, Output, Process } from '../process.ts'

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
  if (!hasInput && !terminal) input!.socket.send('')
  const streams = terminal ? [input!] : outputs
  return {
    output: merged(streams),
    input: hasInput ? writableTo(input!.socket) : null,
    resize: async ({ columns, rows }) => {
      const args = { width: String(columns), height: String(rows) }
      control!.socket.send(JSON.stringify({ command: 'window-resize', args }))
    },
    close: () => {
      for (const { socket } of [control!, input!, ...outputs]) socket.close()
    },
    end: async () => {
      try {
        return await endOf(api, operation)
      } finally {
        control!.socket.close()
      }
    },
  }
}

type Opened = { socket: WebSocket; data: PassThrough }

async function openSocket({ dispatcher }: Api, path: string): Promise<Opened> {
  const { WebSocket } = await import('undici')
  const socket = new WebSocket(`ws://engine${path}`, { dispatcher })
  socket.binaryType = 'arraybuffer'
  const data = new PassThrough()
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  socket.addEventListener('open', () => resolve())
  socket.addEventListener('error', () => reject(new Error('a stream of the command could not be opened')))
  socket.addEventListener('close', () => data.end())
  socket.addEventListener('message', ({ data: message }: { data: unknown }) => {
    // An empty text is the end of the stream.
    if (typeof message === 'string') return message === '' ? void data.end() : void data.write(message)
    // `binaryType` says what a message that is no text is.
    data.write(Buffer.from(message as ArrayBuffer))
  })
  await promise
  return { socket, data }
}

/** The pieces of several streams as they come. */
async function* merged(streams: Opened[]): AsyncGenerator<Output> {
  const readers = streams.map(({ data }, index) => {
    const pieces = data[Symbol.asyncIterator]() as AsyncIterator<Buffer>
    const next = async () => ({ index, next, piece: await pieces.next() })
    return next
  })
  const waiting = new Map(readers.map((next, index) => [index, next()]))
  while (waiting.size > 0) {
    const { index, next, piece } = await Promise.race(waiting.values())
    if (piece.done) waiting.delete(index)
    else {
      yield { stream: index === 0 ? 1 : 2, bytes: piece.value }
      waiting.set(index, next())
    }
  }
}

const writableTo = (socket: WebSocket) =>
  new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      socket.send(chunk)
      done()
    },
    final: (done) => {
      socket.send('')
      done()
    },
  })

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
