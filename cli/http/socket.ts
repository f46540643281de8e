import type { WebSocket as Socket } from 'ws'
import { CommandError, exitCodes } from '../errors.ts'
import type { Target } from './target.ts'
import { tlsOptions } from './tls.ts'

/** Close codes of the gateway (docs/api.md, Consoles). */
const closings: Record<number, string> = {
  1001: 'the gateway stops',
  1006: 'the connection was cut',
  4401: 'the sign-in has ended',
  4403: 'the right to it was removed',
  4410: 'it was stopped or deleted',
  4503: 'the node does not answer',
}

export const closingText = (code: number) => closings[code] ?? `close code ${code}`

/** Opens the WebSocket of a ticket. @throws CommandError */
export async function openSocket(target: Target, path: string): Promise<Socket> {
  const { WebSocket } = await import('ws')
  const socket = new WebSocket(target.url.replace(/^http/, 'ws') + path, ['binary'], tlsOptions(target))
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  socket.once('open', resolve)
  socket.once('error', reject)
  await promise.catch((error: Error) => {
    throw new CommandError(`the connection cannot be opened: ${error.message}`, {
      code: exitCodes.unreachable,
      cause: error,
    })
  })
  // Paused until the caller listens, so that no message is lost.
  socket.pause()
  socket.on('error', () => undefined)
  return socket
}
