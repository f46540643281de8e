import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import { AppError } from '#shared/errors.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { closeBrowser, keepAlive } from '../sessions/browser.ts'
import { type Closing, codes } from '../sessions/closing.ts'
import type { ConsoleSession, ConsoleSessions } from './console-sessions.ts'
import { openDisplay } from './display.ts'
import { pump } from './pump.ts'
import { createRecorder } from './recorder.ts'
import { type SerialStream, serialStream } from './serial-stream.ts'

/** The node's end of a console, open. */
export type Source = { kind: 'display'; socket: Duplex } | { kind: 'serial'; stream: SerialStream }

/** Opens a console's end on its node. @throws UnavailableError */
export async function openSource({ opened }: ConsoleSession): Promise<Source> {
  const { node, endpoint } = opened
  if (endpoint.kind === 'serial')
    return { kind: 'serial', stream: await serialStream(await reach(node), opened, endpoint) }
  const socket = await openDisplay(node, endpoint.socket)
  // It may fail before anybody is at its other end.
  socket.on('error', () => undefined)
  return { kind: 'display', socket }
}

const readOnly = Buffer.from(
  "\r\n[horcrux] This console can only be read: the guest's definition has no socket for what is typed.\r\n",
)

/** Joins a browser's WebSocket with the console that its ticket opened, until either goes. */
export function attach(browser: WebSocket, session: ConsoleSession, source: Source, sessions: ConsoleSessions): void {
  session.onEnd((why) => closeBrowser(browser, why))
  browser.on('error', () => undefined)
  browser.once('close', () => session.end({ code: 1000, reason: 'The viewer has closed it' }))
  keepAlive(browser, session.onEnd)
  if (source.kind === 'serial') return attachSerial(browser, session, source.stream, sessions)
  const { socket } = source
  session.onEnd(() => void socket.destroy())
  pump(browser, socket, (error) => session.end(endedAs(error)))
}

/** A display ends when its guest does, or when its node is lost. */
export const endedAs = (error?: Error): Closing =>
  error instanceof AppError
    ? { code: codes.unavailable, reason: error.message }
    : { code: codes.gone, reason: 'The virtual machine has closed its display: it was stopped, or started anew' }

function attachSerial(
  browser: WebSocket,
  session: ConsoleSession,
  stream: SerialStream,
  sessions: ConsoleSessions,
): void {
  const { recording_id } = session.opened
  const recorder = recording_id === null ? null : createRecorder(recording_id, sessions.inContext)
  const show = shower(browser, stream)
  const leave = stream.join({
    data: (chunk) => {
      recorder?.data(chunk)
      show(chunk)
    },
    gone: (error) => session.end(endedAs(error)),
  })
  session.onEnd(() => {
    leave()
    return recorder?.end()
  })
  browser.on('message', (data) => {
    const { input } = stream
    if (!input) return show(readOnly)
    browser.pause()
    // Messages come as one Buffer unless another binaryType is asked for.
    void input.write(data as Buffer).then(() => browser.resume())
  })
}

/** More than this waiting for a browser is too slow to be shown all. Bytes. */
const highBytes = 1_048_576
const skipped = Buffer.from('\r\n[horcrux] This viewer is too slow: some output is left out.\r\n')

/** A viewer of a stream that has others: one that does not keep up misses something, and goes on with the newest 64 KiB. */
function shower(browser: WebSocket, stream: SerialStream): (chunk: Buffer) => void {
  let isBehind = false
  const sent = () => {
    if (!isBehind || browser.bufferedAmount > 0) return
    isBehind = false
    send(Buffer.concat([skipped, stream.history()]))
  }
  const send = (bytes: Buffer) => {
    if (browser.readyState === browser.OPEN) browser.send(bytes, { binary: true }, sent)
  }
  return (chunk) => {
    if (isBehind) return
    send(chunk)
    isBehind = browser.bufferedAmount > highBytes
  }
}
