import type { WebSocket as Socket } from 'ws'
import { parse, withGlobals } from '../arguments/parse.ts'
import { exitCodes, usageError } from '../errors.ts'
import { closingText, openSocket } from '../http/socket.ts'
import { actionOf } from '../manifest/manifest.ts'
import { note } from '../output/print.ts'
import { targetFrom } from '../actions/options.ts'
import { send } from '../actions/send.ts'

const escape = 0x1d // Ctrl-]
const quit = 'q'.charCodeAt(0)

/** `horcrux console VM`: the serial console, in raw mode on a terminal. `Ctrl-] q` leaves, `Ctrl-] Ctrl-]` sends Ctrl-]. */
export async function serialConsole(words: string[]): Promise<number> {
  const parsed = parse(words, withGlobals({}), 'horcrux console')
  const [vm, ...more] = parsed.positionals
  if (vm === undefined || more.length > 0) throw usageError('name one virtual machine', 'horcrux console VM')
  const target = targetFrom(parsed)
  const values = { vm_id: vm, console_type: 'serial' }
  const { body } = await send<{ websocket_path: string }>(target, actionOf('consoles', 'open'), values)
  const socket = await openSocket(target, body.websocket_path)
  if (process.stdin.isTTY) note(`console of ${vm}; leave it with Ctrl-] and then q`)
  const code = await join(socket)
  if (process.stdin.isTTY) note('\r')
  if (code === 1000 || code === 1005) return exitCodes.done
  note(`[horcrux] the console has ended: ${closingText(code)}`)
  return code === 4410 ? exitCodes.done : exitCodes.failed
}

/** Passes bytes in both directions until one side ends. @returns the close code */
async function join(socket: Socket): Promise<number> {
  const { stdin, stdout } = process
  const { promise, resolve } = Promise.withResolvers<number>()
  const leave = () => {
    socket.close(1000)
    resolve(1000)
  }
  // A terminal that does not keep up stops the stream.
  socket.on('message', (data) => {
    if (stdout.write(data as Buffer)) return
    socket.pause()
    stdout.once('drain', () => socket.resume())
  })
  socket.once('close', resolve)
  socket.resume()
  const isTerminal = stdin.isTTY
  const typed = isTerminal ? escapes(leave) : (bytes: Buffer) => bytes
  const read = (bytes: Buffer) => {
    const sent = typed(bytes)
    if (sent.length > 0 && socket.readyState === socket.OPEN) socket.send(sent)
  }
  if (isTerminal) stdin.setRawMode(true)
  stdin.on('data', read)
  // Output goes on when the input of a script has ended, until Ctrl-C or the end of the guest.
  process.once('SIGINT', leave)
  process.once('SIGTERM', leave)
  try {
    return await promise
  } finally {
    stdin.off('data', read)
    if (isTerminal) stdin.setRawMode(false)
    stdin.pause()
  }
}

/** Takes the escape sequences out of typed bytes. */
export function escapes(leave: () => void): (bytes: Buffer) => Buffer {
  let isEscaped = false
  return (bytes) => {
    const kept: number[] = []
    for (const byte of bytes) {
      if (!isEscaped && byte === escape) {
        isEscaped = true
        continue
      }
      if (isEscaped && byte === quit) {
        leave()
        return Buffer.from(kept)
      }
      // Any other key after the escape key is sent alone; the escape key twice sends it once.
      isEscaped = false
      kept.push(byte)
    }
    return Buffer.from(kept)
  }
}
