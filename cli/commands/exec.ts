import type { WebSocket as Socket } from 'ws'
import { isSet, parse, type Parsed, textOf, withGlobals } from '../arguments/parse.ts'
import { targetFrom } from '../actions/options.ts'
import { send } from '../actions/send.ts'
import { CommandError, exitCodes, usageError } from '../errors.ts'
import { closingText, openSocket } from '../http/socket.ts'
import { actionOf } from '../manifest/manifest.ts'
import { escapes } from './console.ts'

const flags = {
  env: { value: 'NAME=VALUE', isMultiple: true, does: 'Environment of the command; repeatable' },
  user: { short: 'u', value: 'USER', does: 'User in the container' },
  input: { short: 'i', isBoolean: true, does: 'Hand standard input on, also without a terminal' },
  tty: { short: 't', isBoolean: true, does: 'Give it a terminal; the default if this is run on one' },
}

/** `horcrux exec CONTAINER -- COMMAND`: runs a command; its output, errors and exit code are those of this one. */
export async function exec(words: string[]): Promise<number> {
  const parsed = parse(words, withGlobals(flags), 'horcrux exec')
  const [id, ...more] = parsed.positionals
  const command = [...more, ...parsed.rest]
  if (id === undefined || command.length === 0)
    throw usageError('name a container and a command', 'horcrux exec CONTAINER -- COMMAND')
  const hasTerminal = wantsTerminal(parsed)
  const env = Object.fromEntries((parsed.flags.get('env') ?? []).map((pair) => splitPair(String(pair))))
  const user = textOf(parsed, 'user')
  return stream(parsed, 'exec', hasTerminal, {
    id,
    command,
    input: hasTerminal || isSet(parsed, 'input'),
    ...(hasTerminal && { terminal: sizeOfTerminal() }),
    ...(Object.keys(env).length > 0 && { env }),
    ...(user !== undefined && { user }),
  })
}

/** `horcrux attach CONTAINER`: its first process or its console; `Ctrl-] q` leaves it running. */
export async function attach(words: string[]): Promise<number> {
  const parsed = parse(words, withGlobals({ input: flags.input }), 'horcrux attach')
  const [id, ...more] = parsed.positionals
  if (id === undefined || more.length > 0) throw usageError('name one container', 'horcrux attach CONTAINER')
  return stream(parsed, 'attach', process.stdin.isTTY, { id, input: process.stdin.isTTY || isSet(parsed, 'input') })
}

function wantsTerminal(parsed: Parsed): boolean {
  const given = parsed.flags.get('tty')?.at(-1)
  const isOnOne = process.stdin.isTTY && process.stdout.isTTY
  if (given === true && !process.stdin.isTTY)
    throw usageError('-t: standard input is no terminal; use -i to hand it on')
  return given === undefined ? isOnOne : given === true
}

const sizeOfTerminal = () => ({ columns: process.stdout.columns || 80, rows: process.stdout.rows || 24 })

async function stream(parsed: Parsed, verb: string, isRaw: boolean, values: Record<string, unknown>): Promise<number> {
  const target = targetFrom(parsed)
  const action = actionOf('container-streams', verb)
  const { body } = await send<{ websocket_path: string }>(target, action, values)
  const socket = await openSocket(target, body.websocket_path)
  return join(socket, { isRaw, hasInput: values['input'] === true, isCommand: verb === 'exec' })
}

type End = { exit_code?: number | null; reason?: string; error?: string; message?: string }
type Ways = { isRaw: boolean; hasInput: boolean; isCommand: boolean }

/** Hands bytes on in both directions until the end. @returns the exit code */
async function join(socket: Socket, { isRaw, hasInput, isCommand }: Ways): Promise<number> {
  const { stdin, stdout } = process
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const tell = (message: object) => socket.readyState === socket.OPEN && socket.send(JSON.stringify(message))
  socket.on('message', (data, isBinary) => {
    // Messages come as one Buffer unless another binaryType is asked for.
    const bytes = data as Buffer
    if (isBinary) show(socket, bytes)
    else take(JSON.parse(bytes.toString('utf8')) as End)
  })
  const take = ({ exit_code, reason, error, message }: End) => {
    if (error !== undefined) reject(new CommandError(message ?? error))
    else if (reason !== undefined || exit_code !== undefined) resolve(codeOf(exit_code ?? null, reason ?? ''))
  }
  socket.once('close', (code) => {
    if (code === 1000) resolve(exitCodes.done)
    else reject(new CommandError(`the stream has ended: ${closingText(code)}`, { code: exitCodes.unreachable }))
  })
  const leave = () => socket.close(1000)
  const typed = isRaw && !isCommand ? escapes(leave) : (bytes: Buffer) => bytes
  const read = (bytes: Buffer) => {
    const sent = typed(bytes)
    if (sent.length > 0 && socket.readyState === socket.OPEN) socket.send(sent)
  }
  const resize = () => tell({ resize: sizeOfTerminal() })
  // Without a terminal of its own, the command gets the signals of this process.
  const hand = (signal: string) => () => (isCommand ? tell({ signal }) : leave())
  const signals = { SIGINT: hand('INT'), SIGTERM: hand('TERM'), ...(isRaw && { SIGWINCH: resize }) }
  for (const [name, handle] of Object.entries(signals)) process.on(name, handle)
  if (hasInput) {
    if (isRaw) stdin.setRawMode(true)
    stdin.on('data', read)
    stdin.once('end', () => tell({ end_input: true }))
  }
  socket.resume()
  try {
    return await promise
  } finally {
    for (const [name, handle] of Object.entries(signals)) process.off(name, handle)
    stdin.off('data', read)
    if (hasInput && isRaw) stdin.setRawMode(false)
    stdin.pause()
    await new Promise((flushed) => stdout.write('', flushed))
    socket.terminate()
  }
}

/** The first byte tells the stream: 1 is output, 2 is errors. A reader that does not keep up stops the command. */
function show(socket: Socket, bytes: Buffer): void {
  const stream = bytes[0] === 2 ? process.stderr : process.stdout
  if (stream.write(bytes.subarray(1))) return
  socket.pause()
  stream.once('drain', () => socket.resume())
}

/** Exit codes of a shell for a command that could not run (POSIX, 2.8.2), and of timeout(1). */
function codeOf(exitCode: number | null, reason: string): number {
  if (exitCode !== null) return exitCode
  return { not_found: 127, not_executable: 126, timed_out: 124 }[reason] ?? exitCodes.operationFailed
}

function splitPair(pair: string): [string, string] {
  const at = pair.indexOf('=')
  if (at < 1) throw usageError(`--env must be NAME=VALUE, not '${pair}'`)
  return [pair.slice(0, at), pair.slice(at + 1)]
}
